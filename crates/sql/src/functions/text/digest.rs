//! MD5 and SHA of texts (their UTF-8) and bytes, in lower-case hexadecimal.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::common::{Result as Planned, ScalarValue, exec_err};
use datafusion::logical_expr::Expr;
use headwater_change::{Error, Result};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::functions::arguments::{Takes, called, nullable, taken};
use crate::functions::kernel::{Call, Run};
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::SqlType;

pub(super) const ALL: &[(&str, Bind)] = &[
    ("md5", |context, args| fixed(context, "MD5", args, 32, |call| run(call, &mut Md5::default()))),
    ("sha1", |context, args| fixed(context, "SHA1", args, 40, |call| run(call, &mut Sha1::default()))),
    ("sha224", |context, args| fixed(context, "SHA224", args, 56, |call| run(call, &mut Sha224::default()))),
    ("sha256", |context, args| fixed(context, "SHA256", args, 64, |call| run(call, &mut Sha256::default()))),
    ("sha384", |context, args| fixed(context, "SHA384", args, 96, |call| run(call, &mut Sha384::default()))),
    ("sha512", |context, args| fixed(context, "SHA512", args, 128, |call| run(call, &mut Sha512::default()))),
    ("sha2", sha2),
];

fn fixed(context: Context<'_>, name: &str, args: Vec<Typed>, length: u32, run: Run) -> Result<Typed> {
    let args = taken(context, name, args, &[Takes::TextOrBytes], 1)?;
    let nullable = nullable(&args);
    called(context, name, args, SqlType::Char(length), nullable, run)
}

/// `SHA2(text, bits)`: 224, 256, 384 or 512.
fn sha2(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "SHA2", args, &[Takes::TextOrBytes, Takes::Whole], 2)?;
    if let Some(Expr::Literal(ScalarValue::Int64(Some(bits)), _)) = args.get(1).map(|bits| &bits.expr)
        && hasher(*bits).is_none()
    {
        return Err(Error::usage("sql.arguments", format!("SHA2 of {bits} bits is not defined"))
            .hint("the second argument must be 224, 256, 384 or 512"));
    }
    let nullable = nullable(&args);
    called(context, "SHA2", args, SqlType::VarChar(128), nullable, |call| {
        let (value, bits) = (call.array(0)?, call.array(1)?);
        let bits = bits.as_primitive::<Int64Type>();
        rows::text(call.rows, &[value.as_ref(), bits], |row, out| {
            let Some(mut hasher) = hasher(bits.value(row)) else {
                return exec_err!("SHA2 takes 224, 256, 384 or 512 bits, not {}", bits.value(row));
            };
            hasher.update(content(&value, row));
            push_hex(&hasher.finalize(), out);
            Ok(true)
        })
    })
}

fn hasher(bits: i64) -> Option<Box<dyn DynDigest>> {
    Some(match bits {
        224 => Box::new(Sha224::default()),
        256 => Box::new(Sha256::default()),
        384 => Box::new(Sha384::default()),
        512 => Box::new(Sha512::default()),
        _ => return None,
    })
}

/// The bytes of a text or of bytes.
pub(super) fn content(value: &ArrayRef, row: usize) -> &[u8] {
    match (value.as_string_opt::<i32>(), value.as_binary_opt::<i32>()) {
        (Some(texts), _) => texts.value(row).as_bytes(),
        (None, Some(bytes)) => bytes.value(row),
        (None, None) => &[],
    }
}

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn run(call: &Call<'_>, hasher: &mut dyn DynDigest) -> Planned<ArrayRef> {
    let value = call.array(0)?;
    let mut sum = vec![0; hasher.output_size()];
    rows::text(call.rows, &[value.as_ref()], |row, out| {
        hasher.update(content(&value, row));
        if hasher.finalize_into_reset(&mut sum).is_err() {
            return exec_err!("the digest has another length than its buffer");
        }
        push_hex(&sum, out);
        Ok(true)
    })
}
