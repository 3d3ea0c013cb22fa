//! Conversions and rounding. Temperatures are degrees Celsius unless a name says otherwise.

/// `celsius` in degrees Fahrenheit, with the precision of an `f64`.
pub fn fahrenheit(celsius: f64) -> f64 {
    celsius * 9.0 / 5.0 + 32.0
}

/// `value` to one decimal. Halves round away from zero. The result is never `-0.0`, which JSON would show.
pub fn to_tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_points_of_both_scales_are_equal() {
        for (celsius, expected) in [(0.0, 32.0), (100.0, 212.0), (-40.0, -40.0), (37.0, 98.6)] {
            assert_eq!(to_tenths(fahrenheit(celsius)), expected);
        }
    }

    #[test]
    fn a_small_negative_number_rounds_to_plain_zero() {
        let rounded = to_tenths(-0.04);

        assert_eq!(rounded, 0.0);
        assert!(rounded.is_sign_positive());
    }
}
