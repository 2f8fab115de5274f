//! The bounds of buckets.

/// The upper bound of positive bucket `index`: `2^(index * 2^-schema)`. The bucket that would end at `2^1024` ends at
/// the largest float; the next one, which contains observations of infinity, ends at infinity.
pub fn exponential(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let shift = (-schema).clamp(0, 31) as u32;
        let exponent = i64::from(index) << shift;
        return power_of_two(exponent);
    }
    let per_octave = 1i64 << schema.min(31);
    let octave = i64::from(index).div_euclid(per_octave);
    let part = i64::from(index).rem_euclid(per_octave);
    if part == 0 {
        return power_of_two(octave);
    }
    let fraction = (part as f64 / per_octave as f64).exp2();
    if octave >= 1024 { f64::INFINITY } else { fraction * power_of_two(octave) }
}

fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        1024 => f64::MAX,
        1025.. => f64::INFINITY,
        _ => (exponent.max(-1100) as f64).exp2(),
    }
}

/// The upper bound of custom bucket `index`.
pub fn custom(index: i32, bounds: &[f64]) -> f64 {
    if index < 0 {
        return f64::NEG_INFINITY;
    }
    bounds.get(index as usize).copied().unwrap_or(f64::INFINITY)
}
