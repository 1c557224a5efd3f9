//! Functions of `Math` in Java, to the last digit where that can be had. Java's arcus and hyperbolic functions are those of
//! fdlibm, of which the crate `libm` is a translation; its hyperbolic ones choose other formulas for some ranges, so those
//! are here. SIN, COS, TAN, EXP, LN and POWER are processor code in Java that is rounded nearly always right, as the standard
//! library's are: of 200,000 random arguments 0.02 to 0.5 % differ in the last digit. LOG10: 0.2 %.

pub(super) use libm::{acos, asin, atan, log10};

/// `Math.atan2`: where y is very much larger than a negative x, Java goes a way that the translation does not.
pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    const PI_LOW: f64 = 1.224_646_799_147_353_2e-16;
    let high = |value: f64| (value.abs().to_bits() >> 32).cast_signed();
    let ordinary = !(x < 0.0 && x.is_finite() && y.is_finite() && y != 0.0 && (high(y) - high(x)) >> 20 > 60);
    if ordinary {
        return libm::atan2(y, x);
    }
    let half = std::f64::consts::FRAC_PI_2 + 0.5 * PI_LOW;
    (std::f64::consts::PI - (half - PI_LOW)).copysign(y)
}

/// `Math.cosh`.
pub(crate) fn cosh(x: f64) -> f64 {
    let x = x.abs();
    if x < 0.5 * std::f64::consts::LN_2 {
        let t = libm::expm1(x);
        let w = 1.0 + t;
        return if x < 2_f64.powi(-55) { w } else { 1.0 + (t * t) / (w + w) };
    }
    if x < 22.0 {
        let t = libm::exp(x);
        return 0.5 * t + 0.5 / t;
    }
    beyond(x)
}

/// `Math.sinh`.
pub(crate) fn sinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let (half, size) = (0.5_f64.copysign(x), x.abs());
    if size >= 22.0 {
        return beyond(size).copysign(x);
    }
    if size < 2_f64.powi(-28) {
        return x;
    }
    let t = libm::expm1(size);
    if size < 1.0 { half * (2.0 * t - t * t / (t + 1.0)) } else { half * (t + t / (t + 1.0)) }
}

/// `Math.tanh`.
pub(crate) fn tanh(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let size = x.abs();
    let result = if size >= 22.0 {
        1.0
    } else if size < 2_f64.powi(-55) {
        return x * (1.0 + x);
    } else if size >= 1.0 {
        1.0 - 2.0 / (libm::expm1(2.0 * size) + 2.0)
    } else {
        let t = libm::expm1(-2.0 * size);
        -t / (t + 2.0)
    };
    result.copysign(x)
}

/// Half of an exponential that may itself be too large.
fn beyond(size: f64) -> f64 {
    if size < 709.782_712_893_384 {
        return 0.5 * libm::exp(size);
    }
    let root = libm::exp(0.5 * size);
    0.5 * root * root
}
