//! Follows a chunked body to find where the next head begins.
//!
//! Only the plain form that clients send is followed: sizes in hexadecimal digits alone, lines that end with CR LF, and
//! no trailers. All readers of RFC 9112 agree on this form. At anything else, the follower gives up for good, and the
//! caller must not rely on it.

/// Maximum number of digits of a chunk's size, so that it fits 60 bits.
const DIGITS_MAX: u8 = 15;

/// The position of the next byte in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size { digits: u8, size: u64 },
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    EndReturn,
    EndLineFeed,
}

/// The result of following some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// All bytes belong to the body, which continues.
    All,
    /// The body ends after this many of the bytes.
    Ends(usize),
    /// The body has a form that cannot be followed.
    Lost,
}

/// Follows one body; see the module's documentation.
#[derive(Debug)]
pub struct Follower {
    place: Place,
}

impl Follower {
    /// A follower at the first byte of a body.
    pub fn at_start() -> Self {
        Follower { place: Place::Size { digits: 0, size: 0 } }
    }

    /// Remaining bytes of the current chunk; 0 between chunks.
    pub fn data_left(&self) -> u64 {
        match self.place {
            Place::Data(left) => left,
            _ => 0,
        }
    }

    /// Advances over `bytes`.
    pub fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut at = 0;
        while at < bytes.len() {
            if let Place::Data(left) = self.place {
                let count = left.min((bytes.len() - at) as u64);
                at += count as usize;
                self.place = if count == left { Place::DataReturn } else { Place::Data(left - count) };
                continue;
            }
            let byte = bytes[at];
            at += 1;
            self.place = match (self.place, byte) {
                (Place::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                    let digit = (byte as char).to_digit(16).unwrap_or(0);
                    Place::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
                }
                (Place::Size { digits: 1.., size }, b'\r') => Place::SizeLineFeed(size),
                (Place::SizeLineFeed(0), b'\n') => Place::EndReturn,
                (Place::SizeLineFeed(size), b'\n') => Place::Data(size),
                (Place::DataReturn, b'\r') => Place::DataLineFeed,
                (Place::DataLineFeed, b'\n') => Place::Size { digits: 0, size: 0 },
                (Place::EndReturn, b'\r') => Place::EndLineFeed,
                (Place::EndLineFeed, b'\n') => return Followed::Ends(at),
                _ => return Followed::Lost,
            };
        }
        Followed::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let body = b"5\r\nhello\r\n00A\r\n0123\r\n\r\n89\r\n0\r\n\r\n";
        for step in 1..=body.len() {
            let mut follower = Follower::at_start();
            let mut after = [body.as_slice(), b"GET /"].concat();
            let mut used = 0;
            loop {
                let piece = &after[..step.min(after.len())];
                match follower.follow(piece) {
                    Followed::All => used += piece.len(),
                    Followed::Ends(count) => break used += count,
                    Followed::Lost => panic!("lost at {used}"),
                }
                after.drain(..step);
            }
            assert_eq!(used, body.len(), "{step}");
        }
        let mut follower = Follower::at_start();
        assert_eq!(follower.follow(b"1f\r\nab"), Followed::All);
        assert_eq!(follower.data_left(), 29);
    }

    #[test]
    fn other_forms_are_not_followed() {
        for body in [
            "\r\n",
            "g\r\n",
            "5;ext=1\r\n",
            "5 \r\n",
            "5\n",
            "-5\r\n",
            "0x5\r\n",
            "1000000000000000\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\ntrailer: x\r\n\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(Follower::at_start().follow(body.as_bytes()), Followed::Lost, "{body:?}");
        }
    }
}
