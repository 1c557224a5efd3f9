//! DECIMAL as row images hold it: groups of nine decimal digits in four bytes, high byte first, the sign in the first
//! bit, negative numbers with all bits turned.

use crate::bytes::{Bytes, Short};

/// Bytes of a group of 0 to 9 digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Length in bytes, or `None` where precision and scale cannot be.
pub(crate) fn width(precision: u8, scale: u8) -> Option<usize> {
    let whole = usize::from(precision.checked_sub(scale)?);
    let scale = usize::from(scale);
    Some(whole / 9 * 4 + GROUP_BYTES.get(whole % 9)? + scale / 9 * 4 + GROUP_BYTES.get(scale % 9)?)
}

/// Calls `take` with the digits and the value of each group of a number, sign aside. `bytes` has [`width`] bytes; a group
/// above its digits is damage.
fn groups(bytes: &[u8], precision: u8, scale: u8, mut take: impl FnMut(u32, u64)) -> Result<(), Short> {
    let whole = usize::from(precision.saturating_sub(scale));
    let scale = usize::from(scale);
    let negative = is_negative(bytes);
    let sizes = std::iter::once(whole % 9)
        .chain(std::iter::repeat_n(9, whole / 9 + scale / 9))
        .chain(std::iter::once(scale % 9))
        .filter(|digits| *digits > 0);
    let mut rest = Bytes::new(bytes);
    let mut first = true;
    for digits in sizes {
        let size = GROUP_BYTES.get(digits).copied().unwrap_or(0);
        let bits = 8 * size.max(1);
        let mut value = rest.big(size)?;
        if std::mem::take(&mut first) {
            value ^= 1 << (bits - 1);
        }
        if negative {
            value = !value & ((1 << bits) - 1);
        }
        let digits = u32::try_from(digits).map_err(|_| Short)?;
        if value >= 10_u64.pow(digits) {
            return Err(Short);
        }
        take(digits, value);
    }
    Ok(())
}

fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| first & 0x80 == 0)
}

/// The unscaled number, or `None` where it may not fit into 38 digits.
pub(crate) fn read(bytes: &[u8], precision: u8, scale: u8) -> Result<Option<i128>, Short> {
    if precision > 38 {
        return Ok(None);
    }
    let mut number = 0_i128;
    groups(bytes, precision, scale, |digits, value| number = number * 10_i128.pow(digits) + i128::from(value))?;
    Ok(Some(if is_negative(bytes) { -number } else { number }))
}

/// The digits as text, with the decimal point and without leading zeros, as MySQL prints them.
pub(crate) fn print_wide(bytes: &[u8], precision: u8, scale: u8, out: &mut String) -> Result<(), Short> {
    use std::fmt::Write;
    let mut all = String::with_capacity(usize::from(precision));
    groups(bytes, precision, scale, |digits, value| {
        let width = digits as usize;
        let _ = write!(all, "{value:0width$}");
    })?;
    point(&all, is_negative(bytes), scale, out);
    Ok(())
}

/// The same for an unscaled number.
pub(crate) fn print(number: i128, scale: u8, out: &mut String) {
    point(&number.unsigned_abs().to_string(), number < 0, scale, out);
}

fn point(digits: &str, negative: bool, scale: u8, out: &mut String) {
    let scale = usize::from(scale);
    let digits = digits.trim_start_matches('0');
    if negative && !digits.is_empty() {
        out.push('-');
    }
    let whole = digits.len().saturating_sub(scale);
    let (head, tail) = digits.split_at(whole);
    out.push_str(if head.is_empty() { "0" } else { head });
    if scale > 0 {
        out.push('.');
        out.extend(std::iter::repeat_n('0', scale - tail.len()));
        out.push_str(tail);
    }
}

/// The unscaled number and scale of a text such as `-12.50`, or `None` where it is none or too long.
pub(crate) fn parse(text: &[u8]) -> Option<(i128, u8)> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let mut number = 0_i128;
    let mut scale = None;
    for byte in digits {
        match byte {
            b'.' if scale.is_none() => scale = Some(0_u8),
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                scale = scale.map(|scale| scale + 1);
            }
            _ => return None,
        }
    }
    (number < 10_i128.pow(38)).then_some((if negative { -number } else { number }, scale.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], precision: u8, scale: u8) -> String {
        let mut wide = String::new();
        print_wide(bytes, precision, scale, &mut wide).expect("sound");
        if let Some(number) = read(bytes, precision, scale).expect("sound") {
            let mut narrow = String::new();
            print(number, scale, &mut narrow);
            assert_eq!(narrow, wide);
            assert_eq!(parse(narrow.as_bytes()), Some((number, scale)));
        }
        wide
    }

    #[test]
    fn the_manuals_example_is_read() {
        // 1234567890.1234 as DECIMAL(14,4), from the description of the format.
        let positive = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(text(&positive, 14, 4), "1234567890.1234");
        let negative = positive.map(|byte: u8| !byte);
        assert_eq!(text(&negative, 14, 4), "-1234567890.1234");
    }

    #[test]
    fn small_numbers_keep_their_zeros() {
        assert_eq!(width(5, 2), Some(3));
        assert_eq!(text(&[0x80, 0x00, 0x05], 5, 2), "0.05");
        assert_eq!(text(&[0x80], 2, 2), "0.00");
        assert_eq!(width(65, 30), Some(30));
        assert_eq!(width(2, 3), None);
    }
    #[test]
    fn a_group_above_its_digits_is_damage() {
        // Two digits in a byte: 99 is the last.
        assert_eq!(read(&[0x80 | 99], 2, 0), Ok(Some(99)));
        assert_eq!(read(&[0x80 | 100], 2, 0), Err(Short));
        assert_eq!(read(&[!(0x80 | 100)], 2, 0), Err(Short));
        let group = 1_000_000_000_u32.to_be_bytes();
        let wide: Vec<u8> = [0x80].into_iter().chain(group).collect();
        assert_eq!(read(&wide, 10, 0), Err(Short));
        assert_eq!(print_wide(&[0xff; 30], 65, 30, &mut String::new()), Err(Short));
    }
}
