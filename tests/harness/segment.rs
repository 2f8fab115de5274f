//! Writes a log segment from a script of bytes, damage included. It follows the documented format and uses none of the
//! log's own code.

use crc32fast::Hasher;

const DATABASE_ID: u64 = 7;
const KIND_COMMIT: u8 = 0xF0;

/// A record as it was written.
pub type Written = (u64, u8, Vec<u8>);

/// The result of a script.
#[derive(Default)]
pub struct Segment {
    /// The segment's bytes.
    pub bytes: Vec<u8>,
    /// The file `durable`.
    pub mark_file: Vec<u8>,
    /// All records, including those that were damaged afterwards.
    pub records: Vec<Written>,
    /// Whether anything was damaged.
    pub is_damaged: bool,
    mark: u64,
}

impl Segment {
    /// Runs a script; bytes that make no sense end it.
    pub fn new(mut script: &[u8]) -> Segment {
        let mut segment = Segment { bytes: header(), ..Segment::default() };
        while segment.step(&mut script).is_some() {}
        let mut fields = b"BAROMARK\x02\0\0\0\0\0\0\0".to_vec();
        fields.extend_from_slice(&DATABASE_ID.to_le_bytes());
        fields.extend_from_slice(&segment.mark.to_le_bytes());
        let slot = with_checksum(fields);
        segment.mark_file = slot.clone();
        segment.mark_file.resize(4096, 0);
        segment.mark_file.extend_from_slice(&slot);
        segment
    }

    fn step(&mut self, script: &mut &[u8]) -> Option<()> {
        let op = take(script, 1)?[0];
        match op & 7 {
            0..=2 => {
                let length = usize::from(take(script, 1)?[0]);
                let payload = take(script, length)?;
                self.push(op >> 3 & 3, payload.to_vec());
            }
            3 => self.entry(KIND_COMMIT, self.last(), &[]),
            4 => {
                self.entry(KIND_COMMIT, self.last(), &[]);
                self.mark = self.last();
            }
            5 => {
                let back = take(script, 2)?;
                let back = 1 + usize::from(u16::from_le_bytes([back[0], back[1]])) % self.bytes.len();
                let at = self.bytes.len() - back;
                self.bytes[at] ^= op >> 3 | 1;
                self.is_damaged = true;
            }
            6 => {
                let back = usize::from(take(script, 1)?[0]).min(self.bytes.len());
                self.bytes.truncate(self.bytes.len() - back);
                self.is_damaged = true;
            }
            _ => {
                let length = usize::from(take(script, 1)?[0]);
                let raw = take(script, length)?;
                self.bytes.extend_from_slice(raw);
                self.is_damaged = true;
            }
        }
        (!self.bytes.is_empty()).then_some(())
    }

    fn last(&self) -> u64 {
        self.records.len() as u64
    }

    fn push(&mut self, kind: u8, payload: Vec<u8>) {
        let seq = self.last() + 1;
        self.entry(kind, seq, &payload);
        self.records.push((seq, kind, payload));
    }

    fn entry(&mut self, kind: u8, seq: u64, payload: &[u8]) {
        let mut seed = Hasher::new();
        seed.update(&DATABASE_ID.to_le_bytes());
        seed.update(&1u64.to_le_bytes());
        let length = (payload.len() as u32).to_le_bytes();
        let mut rest = vec![kind];
        rest.extend_from_slice(&seq.to_le_bytes());
        rest.extend_from_slice(&self.mark.to_le_bytes());
        rest.extend_from_slice(payload);
        let mut hasher = Hasher::new_with_initial(seed.finalize());
        hasher.update(&length);
        hasher.update(&rest);
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
        self.bytes.extend_from_slice(&rest);
    }
}

fn header() -> Vec<u8> {
    let mut fields = b"BAROWAL\0\x01\0\0\0\0\0\0\0".to_vec();
    for field in [DATABASE_ID, 1, 1] {
        fields.extend_from_slice(&field.to_le_bytes());
    }
    fields.extend_from_slice(&[0; 4]);
    with_checksum(fields)
}

fn with_checksum(mut fields: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&fields);
    fields.extend_from_slice(&sum.to_le_bytes());
    fields
}

fn take<'a>(script: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = script.split_at_checked(length)?;
    *script = rest;
    Some(taken)
}
