//! Quantiles and tails of distributions.

/// The natural logarithm of the gamma function of a positive number (Lanczos' approximation, relative error below
/// 1e-14).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let series = TERMS.iter().enumerate().map(|(i, term)| term / (x + i as f64 + 1.0)).sum::<f64>();
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + (0.999_999_999_999_809_9 + series).ln()
}

/// The regularized incomplete beta function, by its continued fraction.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges quickly on this side of the mean.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// Lentz' algorithm.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let least = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / least(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / least(1.0 + even * d);
        c = least(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / least(1.0 + odd * d);
        c = least(1.0 + odd / c);
        result *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// The probability that Student's t with `freedom` degrees of freedom is above `t`, for `t` of at least 0.
pub(crate) fn t_tail(t: f64, freedom: f64) -> f64 {
    0.5 * beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The value that Student's t passes with a probability of at most a half.
pub(crate) fn t_quantile(tail: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 2.0);
    while t_tail(high, freedom) > tail && high < 1e12 {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-12 * high {
        let middle = f64::midpoint(low, high);
        if t_tail(middle, freedom) > tail {
            low = middle;
        } else {
            high = middle;
        }
        if middle <= low && middle >= high {
            break;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_tables() {
        // scipy.stats.t.isf
        for (tail, freedom, expected) in [
            (0.025, 1.0, 12.706_204_736_174_705),
            (0.025, 10.0, 2.228_138_851_986_274_5),
            (0.0005, 30.0, 3.645_958_635_042_021),
            (1e-6, 4000.0, 4.760_443_173_348_223),
        ] {
            let got = t_quantile(tail, freedom);
            assert!((got - expected).abs() < 1e-11 * expected, "{tail} {freedom}: {got}");
        }
        assert_eq!(t_tail(0.0, 5.0), 0.5);
    }
}
