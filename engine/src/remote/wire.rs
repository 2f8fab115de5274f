//! Protocol buffers, as far as remote write and read need them: an iterator over fields that borrows from the message,
//! and functions that append fields.
//!
//! A library that builds structs is not used: a struct for each sample costs more than the sample, and a few hostile
//! bytes would decide how much is allocated. Iterating over the fields allocates nothing.
//!
//! # Format
//! A message is a sequence of fields. A field is a varint `number << 3 | wire type`, followed, depending on the wire
//! type, by: 0 a varint; 1 eight bytes; 2 a varint length and that many bytes; 5 four bytes. Groups (3 and 4) are
//! refused; no message here contains any, and they would nest.

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireFault {
    /// The message ends inside a field.
    #[error("it ends inside a field")]
    Truncated,
    /// A varint has more than ten bytes or 64 bits.
    #[error("a varint is longer than 64 bits")]
    Varint,
    /// A field number is 0 or beyond 2^29 - 1.
    #[error("field number {0} does not exist")]
    Number(u64),
    /// A wire type that is unknown, or a group.
    #[error("field {number} has wire type {wire_type}, which is not supported")]
    WireType {
        /// The field.
        number: u32,
        /// Its wire type.
        wire_type: u8,
    },
    /// A known field of the wrong type.
    #[error("field {number} is of another type than expected")]
    Type {
        /// The field.
        number: u32,
    },
    /// A field that exists only in the other version of the protocol.
    #[error("field {number} belongs to another version of the protocol; check the Content-Type")]
    Version {
        /// The field.
        number: u32,
    },
    /// More symbols than a request may have.
    #[error("more than {limit} symbols; send fewer series at once")]
    Symbols {
        /// The limit.
        limit: usize,
    },
}

/// A fault and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the protobuf message is broken at byte {offset}: {fault}")]
pub struct WireError {
    /// Offset in the whole message.
    pub offset: usize,
    /// What is wrong there.
    pub fault: WireFault,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// The offset of the field in the whole message.
    pub offset: usize,
    /// The offset of the bytes of wire type 2 in the whole message.
    pub body_offset: usize,
}

impl<'a> Field<'a> {
    fn wrong_type(&self) -> WireError {
        WireError { offset: self.offset, fault: WireFault::Type { number: self.number } }
    }

    /// The value of a varint field.
    ///
    /// # Errors
    /// The field is of another type.
    #[inline]
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    /// The value of a double field.
    ///
    /// # Errors
    /// The field is of another type.
    #[inline]
    pub fn double(&self) -> Result<f64, WireError> {
        match self.value {
            Value::Fixed64(v) => Ok(f64::from_bits(v)),
            _ => Err(self.wrong_type()),
        }
    }

    /// The value of a bytes field.
    ///
    /// # Errors
    /// The field is of another type.
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    /// The fields of the embedded message.
    ///
    /// # Errors
    /// The field is of another type.
    #[inline]
    pub fn message(&self) -> Result<Fields<'a>, WireError> {
        Ok(Fields::within(self.bytes()?, self.body_offset))
    }

    /// Calls `visit` with each varint of a repeated field, packed or not.
    ///
    /// # Errors
    /// The field is not a varint, or its packed form is broken.
    pub fn varints(&self, mut visit: impl FnMut(u64)) -> Result<(), WireError> {
        match self.value {
            Value::Varint(v) => visit(v),
            Value::Bytes(bytes) => {
                let mut run = Fields::within(bytes, self.body_offset);
                while let Some(value) = run.next_varint()? {
                    visit(value);
                }
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }

    /// Calls `visit` with each double of a repeated field, packed or not.
    ///
    /// # Errors
    /// The field is not a double, or its packed form is broken.
    pub fn doubles(&self, mut visit: impl FnMut(f64)) -> Result<(), WireError> {
        match self.value {
            Value::Fixed64(v) => visit(f64::from_bits(v)),
            Value::Bytes(bytes) => {
                let (words, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(self.wrong_type());
                }
                words.iter().for_each(|word| visit(f64::from_le_bytes(*word)));
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }
}

/// Iterates over the fields of one message. After an error it is at the end.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Offset of `bytes` in the whole message.
    base: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a whole message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::within(bytes, 0)
    }

    /// The fields of a message that is at offset `base` of a larger one.
    pub fn within(bytes: &'a [u8], base: usize) -> Self {
        Fields { bytes, position: 0, base }
    }

    /// The offset of this message in the whole one.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Bytes of this message.
    pub fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The fields of this message from the one on that begins at an offset from its start.
    pub fn starting_at(self, position: usize) -> Self {
        Fields { position, ..self }
    }

    /// The offset of the next field from the start of this message.
    pub fn position(&self) -> usize {
        self.position
    }

    fn error(&self, fault: WireFault) -> WireError {
        WireError { offset: self.base + self.position, fault }
    }

    /// The next of a sequence of bare varints.
    ///
    /// # Errors
    /// It is malformed.
    #[inline]
    pub fn next_varint(&mut self) -> Result<Option<u64>, WireError> {
        if self.position >= self.bytes.len() { Ok(None) } else { self.read_varint().map(Some) }
    }

    #[inline]
    fn read_varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(byte))
            }
            _ => self.read_long_varint(),
        }
    }

    fn read_long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        let tail = self.bytes.get(self.position..).unwrap_or_default();
        for (i, &byte) in tail.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(self.error(WireFault::Varint));
                }
                self.position += i + 1;
                return Ok(value);
            }
        }
        Err(self.error(if tail.len() < 10 { WireFault::Truncated } else { WireFault::Varint }))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.position.checked_add(length))
            .and_then(|end| self.bytes.get(self.position..end));
        let Some(taken) = taken else { return Err(self.error(WireFault::Truncated)) };
        self.position += taken.len();
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let rest = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk);
        let taken = rest.ok_or_else(|| self.error(WireFault::Truncated))?;
        self.position += N;
        Ok(*taken)
    }

    #[inline]
    fn read_field(&mut self) -> Result<Field<'a>, WireError> {
        let offset = self.base + self.position;
        let tag = self.read_varint()?;
        let number = tag >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(WireError { offset, fault: WireFault::Number(number) });
        }
        let number = number as u32;
        let mut body_offset = self.base + self.position;
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.read_varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take_array()?)),
            2 => {
                let length = self.read_varint()?;
                body_offset = self.base + self.position;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take_array()?)),
            wire_type => {
                return Err(WireError { offset, fault: WireFault::WireType { number, wire_type } });
            }
        };
        Ok(Field { number, value, offset, body_offset })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let field = self.read_field();
        if field.is_err() {
            self.position = self.bytes.len();
        }
        Some(field)
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    crate::codec::varint::write(out, value);
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

/// Appends a varint field, unless it is 0, which is equivalent to an absent field.
pub fn put_integer(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_tag(out, number, 0);
        put_varint(out, value);
    }
}

/// Appends a signed field in zigzag form (`sint32`, `sint64`).
pub fn put_zigzag(out: &mut Vec<u8>, number: u32, value: i64) {
    put_integer(out, number, crate::codec::varint::zigzag(value));
}

/// Appends a double, unless its bits are those of 0.
pub fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        put_tag(out, number, 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Appends a double, including 0.
pub fn put_any_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends bytes or text.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a packed field of doubles, unless there are none.
pub fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_tag(out, number, 2);
        put_varint(out, values.len() as u64 * 8);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
    }
}

/// Appends a message whose fields are written by `write`.
pub fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, number, 2);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    // The length is only known now; small messages move by a byte or two.
    put_varint(out, length as u64);
    out[start..].rotate_left(length);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(bytes: &[u8]) -> (usize, WireFault) {
        let error = Fields::new(bytes).find_map(Result::err).expect("a fault");
        (error.offset, error.fault)
    }

    #[test]
    fn fields_of_each_kind() {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, 1, 300);
        put_double(&mut bytes, 2, -0.0);
        put_zigzag(&mut bytes, 3, -3);
        put_message(&mut bytes, 200, |out| put_bytes(out, 1, &[7; 200]));
        bytes.extend_from_slice(&[0x1d, 1, 0, 0, 0]);
        let fields: Vec<Field<'_>> = Fields::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(fields[0].varint(), Ok(300));
        assert_eq!(fields[1].double().unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(fields[2].varint(), Ok(5));
        let inner: Vec<Field<'_>> = fields[3].message().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(inner[0].bytes().unwrap(), [7; 200]);
        assert_eq!(
            bytes[inner[0].body_offset..][..200],
            [7; 200],
            "offsets count from the outermost message"
        );
        assert_eq!(fields[4].value, Value::Fixed32(1));
    }

    #[test]
    fn what_is_absent_takes_no_byte() {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, 1, 0);
        put_double(&mut bytes, 2, 0.0);
        put_doubles(&mut bytes, 3, &[]);
        assert!(bytes.is_empty());
    }

    #[test]
    fn packed_and_single_values_are_the_same() {
        let mut packed = Vec::new();
        put_bytes(&mut packed, 1, &[1, 0xac, 2]);
        let mut found = Vec::new();
        for bytes in [&packed[..], &[0x08, 1, 0x08, 0xac, 2]] {
            for field in Fields::new(bytes) {
                field.unwrap().varints(|v| found.push(v)).unwrap();
            }
        }
        assert_eq!(found, [1, 300, 1, 300]);
        let mut doubles = Vec::new();
        put_doubles(&mut doubles, 1, &[1.5, 2.5]);
        put_double(&mut doubles, 1, 3.5);
        let mut found = Vec::new();
        for field in Fields::new(&doubles) {
            field.unwrap().doubles(|v| found.push(v)).unwrap();
        }
        assert_eq!(found, [1.5, 2.5, 3.5]);
        let ragged = Fields::new(&[0x0a, 3, 1, 2, 3]).next().unwrap().unwrap();
        assert!(ragged.doubles(|_| ()).is_err());
        let cut = Fields::new(&[0x0a, 1, 0x80]).next().unwrap().unwrap();
        assert_eq!(cut.varints(|_| ()).unwrap_err().offset, 2);
    }

    #[test]
    fn faults_say_where() {
        assert_eq!(fault(&[0x08]), (1, WireFault::Truncated));
        assert_eq!(fault(&[0x08, 0x80]), (1, WireFault::Truncated));
        assert_eq!(fault(&[0x08, 1, 0x0a, 2, 0]), (4, WireFault::Truncated));
        assert_eq!(
            fault(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (11, WireFault::Truncated)
        );
        assert_eq!(
            fault(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            (1, WireFault::Varint)
        );
        assert_eq!(
            fault(&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            (1, WireFault::Varint)
        );
        assert_eq!(fault(&[0x00, 1]), (0, WireFault::Number(0)));
        assert_eq!(fault(&[0x0b, 0x0b, 0x0c]), (0, WireFault::WireType { number: 1, wire_type: 3 }));
        let wrong = Fields::new(&[0x08, 1]).next().unwrap().unwrap();
        assert_eq!(wrong.bytes().unwrap_err().fault, WireFault::Type { number: 1 });
        assert!(wrong.double().is_err() && wrong.varint().is_ok());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for field in Fields::new(&bytes).filter_map(Result::ok) {
                let _ = (field.varints(|_| ()), field.doubles(|_| ()));
                if let Ok(inner) = field.message() {
                    inner.for_each(|_| ());
                }
            }
        }

        #[test]
        fn messages_round_trip(number in 1u32..1000, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = Vec::new();
            put_message(&mut bytes, number, |out| out.extend_from_slice(&body));
            put_integer(&mut bytes, number, 9);
            let fields: Vec<_> = Fields::new(&bytes).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(fields.len(), 2);
            prop_assert_eq!((fields[0].number, fields[0].bytes().unwrap()), (number, &body[..]));
        }
    }
}
