//! Writes an answer in pieces. Memory is taken for each piece before it is allocated.
//!
//! A full piece is set aside, compressed if the client accepts that. A large answer is therefore never copied as a
//! whole, and its plain text never exists as a whole. Each piece holds its memory until the socket has accepted it.

use std::io::Write;
use std::sync::Arc;

use barograph::budget::{Full, Hold, Share, Taken, Work};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::buffer::{Buffer, FIRST_BYTES, HeldBytes, PIECE_BYTES};
use crate::error::ApiError;
use crate::json::Sink;

/// Bytes that the buffers of a socket accept without the client reading.
const AT_ONCE_BYTES: u64 = 2 * PIECE_BYTES as u64;
/// Smaller answers are not worth compressing.
const GZIP_MIN: usize = 1024;
/// Memory of a compressor's state, bytes.
const GZIP_BYTES: u64 = 320 * 1024;

/// A compressor with its output.
struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
    out: Taken,
    _state: Taken,
}

impl Gzip {
    fn new(work: &Work) -> Result<Self, ApiError> {
        let state = Taken::of(work);
        state.at_least(GZIP_BYTES as usize)?;
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Ok(Gzip { encoder, out: Taken::of(work), _state: state })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let failed = |e| ApiError::internal(format!("the answer cannot be compressed: {e}"));
        let room = bytes.len() / 2 + FIRST_BYTES;
        let sink = self.encoder.get_mut();
        if sink.capacity() - sink.len() < room {
            self.out.at_least(sink.len() + room)?;
            sink.reserve_exact(room);
        }
        self.encoder.write_all(bytes).map_err(failed)?;
        Ok(self.out.at_least(self.encoder.get_ref().capacity())?)
    }

    /// The output, if it fills a piece.
    fn full(&mut self, work: &Work) -> Option<HeldBytes> {
        if self.encoder.get_ref().len() < PIECE_BYTES {
            return None;
        }
        let taken = std::mem::replace(&mut self.out, Taken::of(work));
        Some(HeldBytes { bytes: std::mem::take(self.encoder.get_mut()), taken })
    }

    fn finish(self) -> Result<HeldBytes, ApiError> {
        let rest = self.encoder.finish();
        let rest = rest.map_err(|e| ApiError::internal(format!("the answer cannot be compressed: {e}")))?;
        let taken = self.out;
        taken.at_least(rest.capacity())?;
        Ok(HeldBytes { bytes: rest, taken })
    }
}

/// Writes an answer.
pub struct Writer<'w> {
    work: &'w Work,
    accepts_gzip: bool,
    buffer: Buffer,
    gzip: Option<Gzip>,
    done: Vec<HeldBytes>,
}

/// A written answer. Its pieces hold its memory, at first from the share of the work that wrote it.
pub struct Answer {
    /// The body, in order.
    pub pieces: Vec<HeldBytes>,
    /// Whether it is compressed.
    pub gzip: bool,
}

/// An answer on its way to its client.
pub struct Outgoing {
    /// The body, in order.
    pub pieces: Vec<Bytes>,
    /// Whether it is compressed.
    pub gzip: bool,
}

impl Answer {
    /// An answer in one piece.
    pub fn whole(bytes: Vec<u8>, taken: Taken) -> Self {
        Answer { pieces: vec![HeldBytes { bytes, taken }], gzip: false }
    }

    /// The memory that the pieces hold, bytes.
    pub fn taken(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.taken.bytes()).sum()
    }

    /// Moves the memory of the answer to `answers`, so that unread answers keep no work from running. The part that a
    /// socket accepts at once stays where it is. If `answers` is full, the rest may stay too, as long as others still
    /// have room in `reads`; for the answer of a heavy read, half of that share and the part for light reads must be
    /// free.
    ///
    /// # Errors
    /// [`Full`] if neither share has room.
    pub fn leave(self, reads: &Arc<Share>, answers: &Arc<Share>, is_light: bool) -> Result<Outgoing, Full> {
        let Answer { pieces, gzip } = self;
        let total: u64 = pieces.iter().map(|piece| piece.taken.bytes()).sum();
        if total <= AT_ONCE_BYTES {
            return Ok(Outgoing { pieces: pieces.into_iter().map(HeldBytes::into_bytes).collect(), gzip });
        }
        let most = match is_light {
            true => reads.common_to_all() + (reads.common_to_light() - reads.common_to_all()) / 2,
            false => reads.common_to_all().min(reads.limit() / 2),
        };
        let holds: Result<Vec<Hold>, Full> =
            pieces.iter().map(|piece| answers.take(piece.taken.bytes())).collect();
        let pieces = match holds {
            Ok(holds) => pieces.into_iter().zip(holds).map(|(piece, hold)| piece.held_by(hold)).collect(),
            Err(_) if reads.used() <= most => pieces.into_iter().map(HeldBytes::into_bytes).collect(),
            Err(full) => return Err(full),
        };
        Ok(Outgoing { pieces, gzip })
    }
}

impl<'w> Writer<'w> {
    /// An empty answer of `work`.
    pub fn new(work: &'w Work, accepts_gzip: bool) -> Self {
        Writer { work, accepts_gzip, buffer: Buffer::new(work, 0), gzip: None, done: Vec::new() }
    }

    /// Appends a constant text.
    ///
    /// # Errors
    /// Same as [`Sink::put`].
    pub fn text(&mut self, text: &[u8]) -> Result<(), ApiError> {
        self.put(text.len(), |out| out.extend_from_slice(text))
    }

    /// Sets the buffer aside.
    fn pass_on(&mut self) -> Result<(), ApiError> {
        self.work.check()?;
        if self.gzip.is_none() && self.accepts_gzip {
            self.gzip = Some(Gzip::new(self.work)?);
        }
        match &mut self.gzip {
            Some(gzip) => {
                gzip.write(&self.buffer.bytes)?;
                self.buffer.bytes.clear();
                self.done.extend(gzip.full(self.work));
            }
            None => {
                let full = std::mem::replace(&mut self.buffer, Buffer::new(self.work, 0));
                self.done.push(full.into_held());
            }
        }
        Ok(())
    }

    /// Returns the complete answer.
    ///
    /// # Errors
    /// Same as [`Sink::put`].
    pub fn finish(mut self) -> Result<Answer, ApiError> {
        let compress = self.gzip.is_some() || (self.accepts_gzip && self.buffer.bytes.len() >= GZIP_MIN);
        if compress {
            self.pass_on()?;
        }
        let mut pieces = self.done;
        match self.gzip {
            Some(gzip) => pieces.push(gzip.finish()?),
            None if !self.buffer.bytes.is_empty() => pieces.push(self.buffer.into_held()),
            None => {}
        }
        Ok(Answer { pieces, gzip: compress })
    }
}

impl Sink for Writer<'_> {
    type Error = ApiError;

    /// Appends about `room` bytes written by `write`.
    ///
    /// # Errors
    /// There is no memory for them, or the work has to stop.
    fn put(&mut self, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ApiError> {
        let length = self.buffer.bytes.len();
        if length > 0 && length + room > PIECE_BYTES {
            self.pass_on()?;
        }
        self.buffer.reserve(room)?;
        write(&mut self.buffer.bytes);
        self.buffer.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph::budget::Share;
    use std::io::Read;

    fn written(work: &Work, gzip: bool, items: usize) -> Result<Answer, ApiError> {
        let mut writer = Writer::new(work, gzip);
        for i in 0..items {
            writer.put(8, |out| out.extend_from_slice(format!("{i:07}\n").as_bytes()))?;
        }
        writer.finish()
    }

    #[test]
    fn pieces_hold_their_memory_until_each_is_sent() {
        let (share, answers) = (Share::new("queries", 1 << 20), Share::new("answers", 1 << 20));
        let work = Work::unbounded().of(share.clone());
        let answer = written(&work, false, 50_000).unwrap();
        let (length, used) =
            (answer.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>(), share.used());
        assert_eq!((length, answer.gzip, used), (400_000, false, answer.taken()));
        assert!((length as u64..length as u64 + 70_000).contains(&used), "{used}");
        let outgoing = answer.leave(&share, &answers, false).unwrap();
        assert_eq!((share.used(), answers.used()), (0, used), "they have a share of their own");
        assert!(outgoing.pieces.len() >= 6 && outgoing.pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        let mut text = Vec::new();
        let mut before = used;
        for piece in outgoing.pieces {
            text.extend_from_slice(&piece);
            drop(piece);
            assert!(answers.used() < before, "each piece gives back what it held");
            before = answers.used();
        }
        assert_eq!(answers.used(), 0);
        assert!(text.ends_with(b"0049999\n") && text.starts_with(b"0000000\n0000001\n"));
    }

    #[test]
    fn where_answers_are_full_half_of_the_rest_is_left_to_others() {
        let (share, answers) = (Share::new("queries", 1 << 20), Share::new("answers", 1 << 10));
        let work = Work::unbounded().of(share.clone());
        let first = written(&work, false, 50_000).unwrap().leave(&share, &answers, false).unwrap();
        assert!(share.used() > 400_000 && answers.used() == 0, "it stays where it is");
        let full = written(&work, false, 50_000).unwrap().leave(&share, &answers, false).err().unwrap();
        assert_eq!(full.share, "answers");
        let small = written(&work, false, 10).unwrap().leave(&share, &answers, false).unwrap();
        drop((first, small));
        assert_eq!((share.used(), answers.used()), (0, 0));
    }

    #[test]
    fn memory_is_refused_before_it_is_there_and_all_comes_back() {
        let share = Share::new("queries", 1 << 20);
        let work = Work::unbounded().of(share.clone()).holding(200_000);
        let error = written(&work, false, 50_000).err().unwrap();
        assert_eq!(error.status, 422, "{error}");
        assert!(share.peak() <= 200_000, "{}", share.peak());
        assert_eq!(share.used(), 0);
        let work = Work::unbounded().of(share.clone());
        let error = written(&work, false, 500_000).err().unwrap();
        assert_eq!((error.status.as_u16(), error.retry_after), (429, Some(5)), "{error}");
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn what_is_compressed_never_exists_as_a_whole() {
        let share = Share::new("queries", 6 << 20);
        let work = Work::unbounded().of(share.clone());
        let answer = written(&work, true, 1_000_000).unwrap();
        let bytes: Vec<u8> = answer.pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect();
        assert!(answer.gzip && bytes.len() < 4_000_000);
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), 8_000_000);
        assert_eq!(share.used(), answer.taken());
        assert!(share.used() >= bytes.len() as u64);
        drop(answer);
        assert_eq!(share.used(), 0);
        assert!(!written(&work, true, 100).unwrap().gzip, "a small one is not worth it");
        assert!(written(&work, true, 200).unwrap().gzip);
    }

    #[test]
    fn a_canceled_answer_ends() {
        let work = Work::unbounded();
        work.cancel().cancel();
        assert_eq!(written(&work, false, 50_000).err().unwrap().status, 499);
    }
}
