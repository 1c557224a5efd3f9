//! Numbers as Java writes them.
//!
//! Rule: `Double.toString` and `Float.toString` since Java 19: the shortest digits that read back as the same number,
//! plain from 10^-3 up to 10^7, otherwise `d.dddE±n`, always with at least one digit behind the point.

/// Appends a DOUBLE as `Double.toString` does.
pub fn write_double(value: f64, out: &mut String) {
    if !value.is_finite() {
        return out.push_str(not_finite(value));
    }
    if value != 0.0 && value.abs() < 1e-300 {
        let close = format!("{value:.1e}");
        if close.parse() == Ok(value) && !ryu::Buffer::new().format_finite(value).contains('.') {
            return layout(&close, out);
        }
    }
    layout(ryu::Buffer::new().format_finite(value), out);
}

/// Appends a FLOAT as `Float.toString` does.
pub fn write_float(value: f32, out: &mut String) {
    if !value.is_finite() {
        return out.push_str(not_finite(f64::from(value)));
    }
    if value != 0.0 && value.abs() < 1e-40 {
        let close = format!("{value:.1e}");
        if close.parse() == Ok(value) && !ryu::Buffer::new().format_finite(value).contains('.') {
            return layout(&close, out);
        }
    }
    layout(ryu::Buffer::new().format_finite(value), out);
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Lays the digits of `text` (`12.5`, `1e16`, `1.25e-7`) out as Java does.
fn layout(text: &str, out: &mut String) {
    let text = match text.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => text,
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The significant digits and where the point stands behind the first of them.
    let mut digits = [0_u8; 40];
    let mut length = 0;
    let mut leading = 0_i32;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if length == 0 && digit == b'0' {
            leading += 1;
        } else if let Some(slot) = digits.get_mut(length) {
            *slot = digit;
            length += 1;
        }
    }
    while length > 0 && digits.get(length - 1) == Some(&b'0') {
        length -= 1;
    }
    if length == 0 {
        return out.push_str("0.0");
    }
    let point = exponent.parse::<i32>().unwrap_or(0) + i32::try_from(whole.len()).unwrap_or(0) - leading - 1;
    let digit =
        |index: usize| if index < length { char::from(digits.get(index).copied().unwrap_or(b'0')) } else { '0' };
    if (-3..7).contains(&point) {
        plain(point, length, digit, out);
    } else {
        out.push(digit(0));
        out.push('.');
        out.extend((1..length.max(2)).map(digit));
        out.push('E');
        out.push_str(itoa::Buffer::new().format(point));
    }
}

fn plain(point: i32, length: usize, digit: impl Fn(usize) -> char, out: &mut String) {
    let before = usize::try_from(point + 1).unwrap_or(0);
    if before == 0 {
        out.push_str("0.");
        out.extend((0..-point - 1).map(|_| '0'));
        out.extend((0..length).map(digit));
    } else {
        out.extend((0..before).map(&digit));
        out.push('.');
        out.extend((before..length.max(before + 1)).map(digit));
    }
}

/// Appends a DECIMAL of `scale` digits behind the point, never in scientific notation.
pub fn write_decimal(unscaled: i128, scale: i8, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    if scale <= 0 {
        out.push_str(buffer.format(unscaled));
        if unscaled != 0 {
            out.extend((0..-i32::from(scale)).map(|_| '0'));
        }
        return;
    }
    if unscaled < 0 {
        out.push('-');
    }
    let digits = buffer.format(unscaled.unsigned_abs());
    let scale = usize::from(scale.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.push_str(if whole.is_empty() { "0" } else { whole });
    out.push('.');
    out.extend((fraction.len()..scale).map(|_| '0'));
    out.push_str(fraction);
}
