//! Start timestamps of a chunk's samples: when the counting of a sample's value began.
//!
//! Most samples have none, which costs nothing. Those that have one follow a pattern: a counter keeps its start until
//! it is reset; a delta begins where the previous sample ended, or a fixed time before its own.
//!
//! # Format
//! A stored chunk with flag bit 4 has a section of them, after that of the timestamps:
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | form and codec | 1 | high 2 bits: what is stored (below); low 6 bits: [`CodecId`] of integers |
//! | length | varint | bytes of the integers |
//! | integers | as said | nanoseconds, one for each sample |
//!
//! Form 0 stores the start timestamp itself; 1 its difference from the sample's timestamp; 2 its difference from the
//! timestamp of the previous sample (for the first sample, from its own). Differences wrap. The writer chooses the
//! smallest. An unknown start is 0.
//!
//! An open chunk keeps them, in memory only, as runs of equal steps: `varint samples, zigzag varint step`.

use crate::codec::varint::{self, unzigzag, zigzag};
use crate::codec::{CodecId, CompressionLevel, Fault, adaptive};

/// The low bits of the first byte, which name the codec.
pub(super) const CODEC_MASK: u8 = (1 << FORM_SHIFT) - 1;
pub(super) const FORM_SHIFT: u32 = 6;

/// The meaning of a section's integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Absolute = 0,
    FromOwn = 1,
    FromPrevious = 2,
}

impl Form {
    pub(super) fn from_bits(bits: u8) -> Result<Form, Fault> {
        match bits {
            0 => Ok(Form::Absolute),
            1 => Ok(Form::FromOwn),
            2 => Ok(Form::FromPrevious),
            _ => Err(Fault::Field),
        }
    }

    /// The timestamp from which the start of sample `i` is counted.
    fn origin(self, timestamps: &[i64], i: usize) -> i64 {
        match self {
            Form::Absolute => 0,
            Form::FromOwn => timestamps[i],
            Form::FromPrevious => timestamps[i.saturating_sub(1)],
        }
    }
}

/// Appends the section of `starts`, one for each of `timestamps`.
pub(super) fn encode(timestamps: &[i64], starts: &[i64], level: CompressionLevel, out: &mut Vec<u8>) {
    let encoded = [Form::Absolute, Form::FromOwn, Form::FromPrevious].map(|form| {
        let ints: Vec<i64> = starts
            .iter()
            .enumerate()
            .map(|(i, start)| start.wrapping_sub(form.origin(timestamps, i)))
            .collect();
        let mut section = Vec::new();
        let codec = adaptive::encode_ints(&ints, level, &mut section);
        (form, codec, section)
    });
    // If sizes are equal, the first: the array is in order of simplicity.
    if let Some((form, codec, section)) = encoded.iter().min_by_key(|(_, _, section)| section.len()) {
        out.push((*form as u8) << FORM_SHIFT | codec.to_byte());
        varint::write(out, section.len() as u64);
        out.extend_from_slice(section);
    }
}

/// Decodes a section's integers and appends the start timestamps of `timestamps`.
pub(super) fn decode(
    form: Form,
    codec: CodecId,
    section: &[u8],
    timestamps: &[i64],
    out: &mut Vec<i64>,
) -> Result<(), Fault> {
    let first = out.len();
    adaptive::decode_ints(codec, section, timestamps.len(), out)?;
    if form != Form::Absolute {
        for (i, start) in out[first..].iter_mut().enumerate() {
            *start = start.wrapping_add(form.origin(timestamps, i));
        }
    }
    Ok(())
}

/// The start timestamps of an open chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenStarts {
    /// Runs that have ended.
    runs: Vec<u8>,
    /// The number of samples covered.
    len: usize,
    last: i64,
    /// The run in progress.
    step: i64,
    run: u64,
}

impl OpenStarts {
    /// Sets the start of sample `index`. Samples between this and the previous one have none.
    pub(super) fn set(&mut self, index: usize, start: i64) {
        while self.len < index {
            self.push(0);
        }
        self.push(start);
    }

    fn push(&mut self, start: i64) {
        let step = start.wrapping_sub(self.last);
        if self.run > 0 && step != self.step {
            varint::write(&mut self.runs, self.run);
            varint::write(&mut self.runs, zigzag(self.step));
            self.run = 0;
        }
        (self.step, self.last) = (step, start);
        self.run += 1;
        self.len += 1;
    }

    /// Appends the starts of the first `count` samples.
    pub(super) fn decode(&self, count: usize, out: &mut Vec<i64>) {
        let end = out.len() + count;
        out.reserve(count);
        let (mut at, mut last) = (0, 0i64);
        let mut next =
            || Some((varint::read(&self.runs, &mut at).ok()?, varint::read(&self.runs, &mut at).ok()?));
        let mut run = |times: u64, step: i64| {
            out.extend((0..times).map(|_| {
                last = last.wrapping_add(step);
                last
            }));
        };
        while let Some((times, step)) = next() {
            run(times, unzigzag(step));
        }
        run(self.run, self.step);
        out.resize(end, 0);
    }

    /// The heap memory, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.runs.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::test_data::{integers, times};

    fn section(timestamps: &[i64], starts: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(timestamps, starts, CompressionLevel::Best, &mut out);
        out
    }

    fn back(bytes: &[u8], timestamps: &[i64]) -> Vec<i64> {
        let mut at = 1;
        let len = varint::read(bytes, &mut at).unwrap() as usize;
        assert_eq!(at + len, bytes.len());
        let form = Form::from_bits(bytes[0] >> FORM_SHIFT).unwrap();
        let codec = CodecId::from_byte(bytes[0] & CODEC_MASK).unwrap();
        let mut out = vec![7];
        decode(form, codec, &bytes[at..], timestamps, &mut out).unwrap();
        out.split_off(1)
    }

    #[test]
    fn the_usual_rules_cost_next_to_nothing() {
        let timestamps: Vec<i64> =
            (0..500).map(|i| 1_700_000_000_000_000_000 + i * 15_000_000_000 + i * i % 7).collect();
        let constant = vec![1_600_000_000_123_456_789; 500];
        let own: Vec<i64> = timestamps.iter().map(|t| t - 1_000_000_000).collect();
        let previous: Vec<i64> = (0..500).map(|i: usize| timestamps[i.saturating_sub(1)]).collect();
        for (starts, most) in [(constant, 12), (own, 12), (previous, 12)] {
            let bytes = section(&timestamps, &starts);
            assert!(bytes.len() <= most, "{} bytes", bytes.len());
            assert_eq!(back(&bytes, &timestamps), starts);
            let mut open = OpenStarts::default();
            starts.iter().enumerate().for_each(|(i, &start)| open.set(i, start));
            let mut found = Vec::new();
            open.decode(500, &mut found);
            assert_eq!(found, starts);
        }
    }

    #[test]
    fn samples_without_a_start_lie_between() {
        let mut open = OpenStarts::default();
        open.set(2, 50);
        open.set(3, 50);
        open.set(5, 60);
        let mut found = vec![9];
        open.decode(7, &mut found);
        assert_eq!(found, [9, 0, 0, 50, 50, 0, 60, 0]);
        assert_eq!(Form::from_bits(3), Err(Fault::Field));
    }

    proptest! {
        #[test]
        fn round_trip(timestamps in times(1..200), starts in integers(200..201)) {
            let starts = &starts[..timestamps.len()];
            prop_assert_eq!(back(&section(&timestamps, starts), &timestamps), starts);
            let mut open = OpenStarts::default();
            for (i, &start) in starts.iter().enumerate().filter(|(_, start)| **start != 0) {
                open.set(i, start);
            }
            let mut found = Vec::new();
            open.decode(starts.len(), &mut found);
            prop_assert_eq!(&found, starts);
        }
    }
}
