//! Chooses the codec of a column, and finds the decoder of a stored one.
//!
//! Constant and regular columns are recognized immediately. For the others, the integer stage ([`packed`]) nearly
//! always wins where it applies. The bit codecs are tried as well only where it might not: on short columns, in which
//! headers dominate, and on decimals with many digits. The candidates are encoded, and the smallest result is kept.

use super::timestamps::Frame;
use super::varint::{self, unzigzag, zigzag};
use super::{CodecId, CompressionLevel, Fault, decimal, gorilla, integers, near, packed, timestamps};

/// Columns shorter than this try every codec.
const SHORT: usize = 32;
/// Decimals that take more than this many bytes each are compared with XOR.
const DECIMAL_BYTES_CLEAR: usize = 3;

/// Appends the section of strictly ascending `timestamps`, of which there is at least one.
pub fn encode_times(timestamps: &[i64], level: CompressionLevel, out: &mut Vec<u8>) -> CodecId {
    if timestamps::is_regular(timestamps) {
        return CodecId::Regular;
    }
    let start = out.len();
    packed::encode(timestamps, level, out);
    if timestamps.len() < SHORT && replace_if_smaller(out, start, |out| timestamps::encode(timestamps, out)) {
        return CodecId::DeltaOfDelta;
    }
    CodecId::PackedTimes
}

/// Appends the section of `values`, of which there is at least one.
pub fn encode_floats(values: &[f64], level: CompressionLevel, out: &mut Vec<u8>) -> CodecId {
    if gorilla::is_constant(values) {
        gorilla::encode_constant(values[0], out);
        return CodecId::ConstantFloat;
    }
    let start = out.len();
    if !decimal::encode(values, level, out) {
        gorilla::encode(values, out);
        let mut section = Vec::new();
        if near::encode(values, level, &mut section) && section.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&section);
            return CodecId::Near;
        }
        return CodecId::Xor;
    }
    let is_clear = values.len() >= SHORT && out.len() - start <= values.len() * DECIMAL_BYTES_CLEAR;
    if !is_clear && replace_if_smaller(out, start, |out| gorilla::encode(values, out)) {
        return CodecId::Xor;
    }
    CodecId::Decimal
}

/// Appends the section of `values`, of which there is at least one.
pub fn encode_ints(values: &[i64], level: CompressionLevel, out: &mut Vec<u8>) -> CodecId {
    if integers::is_constant(values) {
        varint::write(out, zigzag(values[0]));
        return CodecId::ConstantInt;
    }
    let start = out.len();
    varint::write(out, zigzag(values[0]));
    packed::encode(values, level, out);
    if values.len() < SHORT && replace_if_smaller(out, start, |out| integers::encode(values, out)) {
        return CodecId::IntDelta;
    }
    CodecId::PackedInts
}

/// Replaces everything from `start` on by the bytes that `encode` appends, if they are fewer.
fn replace_if_smaller(out: &mut Vec<u8>, start: usize, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
    let middle = out.len();
    encode(out);
    let (before, after) = (middle - start, out.len() - middle);
    let is_smaller = after < before;
    if is_smaller {
        out.copy_within(middle.., start);
    }
    out.truncate(if is_smaller { start + after } else { middle });
    is_smaller
}

/// Decodes a section of timestamps and appends them, each multiplied by `unit`.
///
/// # Errors
/// The section's fault, or a codec that is not for timestamps. `out` may then contain invalid timestamps, at most as
/// many as were requested.
pub fn decode_times(
    codec: CodecId,
    section: &[u8],
    frame: Frame,
    unit: i64,
    out: &mut Vec<i64>,
) -> Result<(), Fault> {
    match codec {
        CodecId::Regular if !section.is_empty() => Err(Fault::Trailing),
        CodecId::Regular => timestamps::decode_regular(frame, unit, out),
        CodecId::DeltaOfDelta => timestamps::decode(section, frame, unit, out),
        CodecId::PackedTimes => {
            let start = out.len();
            packed::decode(section, frame.first, frame.count, unit, out)?;
            timestamps::check(&out[start..], frame.last.wrapping_mul(unit))
        }
        other => Err(Fault::UnknownCodec(other.to_byte())),
    }
}

/// Decodes a section of `count` floats and appends them. `scratch` is used as a buffer.
///
/// # Errors
/// The section's fault, or a codec that is not for floats. `out` may then contain up to `count` invalid floats.
pub fn decode_floats(
    codec: CodecId,
    section: &[u8],
    count: usize,
    scratch: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Fault> {
    match codec {
        CodecId::ConstantFloat => {
            out.resize(out.len() + count, gorilla::decode_constant(section)?);
            Ok(())
        }
        CodecId::Xor => gorilla::decode(section, count, out),
        CodecId::Decimal => decimal::decode(section, count, scratch, out),
        CodecId::Near => near::decode(section, count, scratch, out),
        other => Err(Fault::UnknownCodec(other.to_byte())),
    }
}

/// Decodes a section of `count` integers and appends them.
///
/// # Errors
/// The section's fault, or a codec that is not for integers. `out` may then contain up to `count` invalid integers.
pub fn decode_ints(codec: CodecId, section: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Fault> {
    if let Some(value) = constant_int(codec, section)? {
        out.resize(out.len() + count, value);
        return Ok(());
    }
    let mut at = 0;
    match codec {
        CodecId::IntDelta => integers::decode(section, count, out),
        CodecId::PackedInts => {
            let first = unzigzag(varint::read(section, &mut at)?);
            packed::decode(&section[at..], first, count, 1, out)
        }
        other => Err(Fault::UnknownCodec(other.to_byte())),
    }
}

/// The integer that all of a section are, if its codec says so.
///
/// # Errors
/// The section's fault.
pub fn constant_int(codec: CodecId, section: &[u8]) -> Result<Option<i64>, Fault> {
    if codec != CodecId::ConstantInt {
        return Ok(None);
    }
    let mut at = 0;
    let value = unzigzag(varint::read(section, &mut at)?);
    if at < section.len() { Err(Fault::Trailing) } else { Ok(Some(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_has_its_data() {
        let mut out = vec![1];
        assert_eq!(encode_times(&[5], CompressionLevel::Fast, &mut out), CodecId::Regular);
        assert_eq!(encode_times(&[5, 6, 7], CompressionLevel::Fast, &mut out), CodecId::Regular);
        assert_eq!(out, [1]);
        assert_eq!(encode_times(&[5, 6, 8], CompressionLevel::Fast, &mut out), CodecId::DeltaOfDelta);
        let gap: Vec<i64> = (0..200).map(|i| if i < 90 { i } else { i + 5 }).collect();
        assert_eq!(encode_times(&gap, CompressionLevel::Fast, &mut out), CodecId::PackedTimes);
        assert!(out.len() < 24, "{} bytes", out.len());

        let mut floats = vec![0.1; 100];
        assert_eq!(encode_floats(&floats, CompressionLevel::Fast, &mut out), CodecId::ConstantFloat);
        floats[5] = 0.2;
        assert_eq!(encode_floats(&floats, CompressionLevel::Fast, &mut out), CodecId::Decimal);
        assert_eq!(encode_floats(&[0.1, -0.0], CompressionLevel::Fast, &mut out), CodecId::Xor);
        let rates: Vec<f64> = (0..100).map(|i| f64::from(i * i % 71) / 60.0).collect();
        assert_eq!(encode_floats(&rates, CompressionLevel::Fast, &mut out), CodecId::Near);
        let roots: Vec<f64> = (0..100).map(|i| f64::from(i).sqrt()).collect();
        assert_eq!(encode_floats(&roots, CompressionLevel::Fast, &mut out), CodecId::Xor);

        assert_eq!(encode_ints(&[5; 3], CompressionLevel::Fast, &mut out), CodecId::ConstantInt);
        assert_eq!(
            encode_ints(&[i64::MAX, i64::MIN, 1], CompressionLevel::Fast, &mut out),
            CodecId::IntDelta
        );
        assert_eq!(
            encode_ints(&(0..100).collect::<Vec<_>>(), CompressionLevel::Fast, &mut out),
            CodecId::PackedInts
        );
    }
}
