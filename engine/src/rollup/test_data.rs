//! Exact arithmetic to compare with.

/// A sum of floats as one long integer, in units of 2^-1074.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    /// Digits of 32 bits, the lowest first, with carries not yet propagated.
    digits: Vec<i64>,
}

const DIGITS: usize = 72;

impl Fixed {
    pub fn of(values: &[f64]) -> Self {
        let mut sum = Fixed { digits: vec![0; DIGITS] };
        values.iter().for_each(|&value| sum.add(value));
        sum
    }

    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let mantissa = bits & ((1 << 52) - 1) | u64::from(exponent > 0) << 52;
        let shift = exponent.max(1) - 1;
        let wide = u128::from(mantissa) << (shift % 32);
        for (i, digit) in self.digits[shift / 32..].iter_mut().take(3).enumerate() {
            let part = (wide >> (32 * i)) as u32;
            *digit += if value < 0.0 { -i64::from(part) } else { i64::from(part) };
        }
        self.carry();
    }

    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let sum = *digit + carry;
            *digit = sum.rem_euclid(1 << 32);
            carry = sum.div_euclid(1 << 32);
        }
        self.digits[DIGITS - 1] += carry;
    }

    /// The nearest float, ties to even.
    pub fn rounded(&self) -> f64 {
        let is_negative = self.digits[DIGITS - 1] < 0;
        let mut magnitude = self.clone();
        if is_negative {
            magnitude.digits.iter_mut().for_each(|digit| *digit = -*digit);
            magnitude.carry();
        }
        let bit = |i: usize| magnitude.digits[i / 32] >> (i % 32) & 1 == 1;
        let Some(top) = (0..DIGITS * 32).rev().find(|&i| bit(i)) else { return 0.0 };
        let low = top.saturating_sub(52);
        let mut mantissa = (low..=top).rev().fold(0u64, |all, i| all << 1 | u64::from(bit(i)));
        let half = low > 0 && bit(low - 1);
        let below = low > 1 && (0..low - 1).any(bit);
        mantissa += u64::from(half && (below || mantissa & 1 == 1));
        // The leading bit adds one to the exponent.
        let bits = ((low as u64) << 52) + mantissa;
        f64::from_bits(bits | u64::from(is_negative) << 63)
    }
}
