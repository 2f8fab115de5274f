//! Iterates over a request: its series one by one, and the points of each.

use std::borrow::Cow;

use crate::codec::varint;
use crate::model::{Exemplar, Labels, Metadata, MetricType};
use crate::remote::error::LabelFault;
use crate::remote::histogram::{self, WireHistogram};
use crate::remote::labels::{self, Pairs};
use crate::remote::wire::{Field, Fields, WireError, WireFault};
use crate::remote::{RemoteVersion, SYMBOLS_MAX};

/// Texts of version 2 are copied up to this length, since many series may refer to a long one. Longer descriptions are
/// not stored.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A request of either version.
#[derive(Debug)]
pub struct Request<'a> {
    version: RemoteVersion,
    body: &'a [u8],
    symbols: Vec<&'a [u8]>,
}

/// An item at the top level of a request.
#[derive(Debug)]
pub enum Item<'r, 'a> {
    /// A series.
    Series(Series<'r, 'a>),
    /// The description of a metric family (version 1).
    Metadata(Cow<'a, str>, Metadata),
}

/// A data point of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A float.
    Sample {
        /// Milliseconds.
        timestamp_ms: i64,
        /// When its counting began, milliseconds; 0 if unknown.
        start_ms: i64,
        /// The value.
        value: f64,
    },
    /// A native histogram, not yet checked.
    Histogram(Box<WireHistogram>),
    /// An exemplar.
    Exemplar {
        /// Milliseconds.
        timestamp_ms: i64,
        /// The value.
        value: f64,
        /// Its labels, or their fault.
        labels: Result<Labels, LabelFault>,
    },
    /// The description of the series' metric (version 2).
    Metadata(Result<Metadata, LabelFault>),
}

/// The number of points in a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Floats.
    pub samples: u64,
    /// Histograms.
    pub histograms: u64,
}

/// One series of a request.
#[derive(Debug)]
pub struct Series<'r, 'a> {
    request: &'r Request<'a>,
    /// The fields from the first one on that is not a label.
    points: Fields<'a>,
    /// The bytes of all its label fields (version 1) or references (version 2).
    labels: Cow<'a, [u8]>,
    /// The number of its points.
    pub counts: Counts,
}

impl<'a> Request<'a> {
    /// Reads what is needed before the series: the symbols of version 2.
    ///
    /// # Errors
    /// The message is broken, or has fields of the other version.
    pub fn open(version: RemoteVersion, body: &'a [u8]) -> Result<Self, WireError> {
        let mut symbols = Vec::new();
        for field in Fields::new(body) {
            let field = field?;
            let is_foreign = match version {
                RemoteVersion::One => matches!(field.number, 4 | 5),
                RemoteVersion::Two => matches!(field.number, 1..=3),
            };
            if is_foreign {
                return Err(fault(&field, WireFault::Version { number: field.number }));
            }
            if version == RemoteVersion::Two && field.number == 4 {
                if symbols.len() == SYMBOLS_MAX {
                    return Err(fault(&field, WireFault::Symbols { limit: SYMBOLS_MAX }));
                }
                symbols.push(field.bytes()?);
            }
        }
        Ok(Request { version, body, symbols })
    }

    /// Its series and metadata, in order.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'_, 'a>, WireError>> {
        Fields::new(self.body).filter_map(|field| match field {
            Ok(field) => self.item(&field).transpose(),
            Err(error) => Some(Err(error)),
        })
    }

    fn item(&self, field: &Field<'a>) -> Result<Option<Item<'_, 'a>>, WireError> {
        Ok(match (self.version, field.number) {
            (RemoteVersion::One, 1) | (RemoteVersion::Two, 5) => {
                Some(Item::Series(Series::open(self, field.message()?)?))
            }
            (RemoteVersion::One, 3) => {
                let (family, metadata) = metadata(field.message()?)?;
                Some(Item::Metadata(family, metadata))
            }
            _ => None,
        })
    }
}

fn fault(field: &Field<'_>, fault: WireFault) -> WireError {
    WireError { offset: field.offset, fault }
}

fn metadata(fields: Fields<'_>) -> Result<(Cow<'_, str>, Metadata), WireError> {
    let mut family: &[u8] = b"";
    let mut found = Metadata::default();
    for field in fields {
        let field = field?;
        match field.number {
            1 => found.kind = metric_type(field.varint()?),
            2 => family = field.bytes()?,
            4 => found.help = String::from_utf8_lossy(field.bytes()?).into_owned(),
            5 => found.unit = String::from_utf8_lossy(field.bytes()?).into_owned(),
            _ => {}
        }
    }
    Ok((String::from_utf8_lossy(family), found))
}

/// A type added by a later version counts as unknown.
fn metric_type(code: u64) -> MetricType {
    u8::try_from(code).ok().and_then(MetricType::from_code).unwrap_or_default()
}

impl<'r, 'a> Series<'r, 'a> {
    /// Finds the labels and counts the points. The labels usually come first and are contiguous, in which case nothing
    /// is copied.
    fn open(request: &'r Request<'a>, fields: Fields<'a>) -> Result<Self, WireError> {
        let (samples, histograms) = match request.version {
            RemoteVersion::One => (2, 4),
            RemoteVersion::Two => (2, 3),
        };
        let mut counts = Counts::default();
        let mut run = LabelRun::default();
        let mut walk = fields.clone();
        let (mut start, mut first_point) = (0, None);
        while let Some(field) = walk.next() {
            let field = field?;
            match field.number {
                1 if request.version == RemoteVersion::One => {
                    run.add(&fields, start, walk.position());
                }
                1 => run.add_refs(&fields, &field)?,
                number => {
                    first_point.get_or_insert(start);
                    counts.samples += u64::from(number == samples);
                    counts.histograms += u64::from(number == histograms);
                }
            }
            start = walk.position();
        }
        let labels = run.finish(&fields);
        Ok(Series { request, points: fields.starting_at(first_point.unwrap_or(start)), labels, counts })
    }

    /// The bytes that identify the series: within one version, equal bytes mean equal labels. Version 1: the label
    /// fields as sent. Version 2: names and values as sent, written to `scratch`, since a reference means something
    /// different in each request. A sender with a different order of labels has a different key, and one that always
    /// uses the same order pays for sorting once.
    ///
    /// # Errors
    /// A reference is out of range; or, in version 2, names and values have more than `bytes_max` bytes together. No
    /// more than that is copied, because a few bytes of references can refer to as many megabytes.
    pub fn key<'s>(&'s self, scratch: &'s mut Vec<u8>, bytes_max: usize) -> Result<&'s [u8], LabelFault> {
        if self.request.version == RemoteVersion::One {
            return Ok(&self.labels);
        }
        scratch.clear();
        let mut bytes = 0usize;
        labels::resolve(&self.labels, &self.request.symbols, |(name, value)| {
            bytes = bytes.saturating_add(name.len() + value.len());
            if bytes > bytes_max {
                return;
            }
            for text in [name, value] {
                varint::write(scratch, text.len() as u64);
                scratch.extend_from_slice(text);
            }
        })?;
        if bytes > bytes_max {
            return Err(LabelFault::TooLong { bytes, limit: bytes_max });
        }
        Ok(scratch)
    }

    /// The label set.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn labels(&self) -> Result<Labels, LabelFault> {
        let mut pairs = Pairs::new();
        self.for_each_pair(|pair| pairs.push(pair))?;
        labels::series_labels(&pairs.finish()?)
    }

    /// Its labels for messages, as far as they can be read.
    pub fn describe(&self) -> String {
        const SHOWN_MAX: usize = 200;
        // A character has at most four bytes.
        let shown =
            |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_MAX)]).into_owned();
        let mut text = "{".to_owned();
        // Labels before a fault are shown.
        let _ = self.for_each_pair(|(name, value)| {
            if text.len() <= 4 * SHOWN_MAX {
                let comma = if text.len() > 1 { ", " } else { "" };
                text.push_str(&format!("{comma}{}={:?}", shown(name), shown(value)));
            }
        });
        text.push('}');
        match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// Calls `visit` with each label, in the order sent.
    fn for_each_pair<'s>(&'s self, mut visit: impl FnMut(labels::Pair<'s>)) -> Result<(), LabelFault> {
        match self.request.version {
            // When the series was opened, these bytes were skipped over, but the labels in them were not read.
            RemoteVersion::One => Fields::new(&self.labels)
                .filter_map(Result::ok)
                .for_each(|field| visit(field.message().and_then(labels::pair).unwrap_or((b"", b"")))),
            RemoteVersion::Two => labels::resolve(&self.labels, &self.request.symbols, visit)?,
        }
        Ok(())
    }

    /// Calls `visit` with each point, in the order sent.
    ///
    /// # Errors
    /// The message is broken; points before the fault have been visited.
    pub fn for_each_point(&self, mut visit: impl FnMut(Point)) -> Result<(), WireError> {
        for field in self.points.clone() {
            let field = field?;
            let point = match (self.request.version, field.number) {
                (_, 2) => sample(&field)?,
                (RemoteVersion::One, 4) | (RemoteVersion::Two, 3) => {
                    Point::Histogram(Box::new(histogram::decode(field.message()?)?))
                }
                (RemoteVersion::One, 3) | (RemoteVersion::Two, 4) => self.exemplar(field.message()?)?,
                (RemoteVersion::Two, 5) => Point::Metadata(self.metadata(field.message()?)?),
                _ => continue,
            };
            visit(point);
        }
        Ok(())
    }

    fn exemplar(&self, fields: Fields<'a>) -> Result<Point, WireError> {
        let (mut pairs, mut refs) = (Pairs::new(), Vec::new());
        let (mut timestamp_ms, mut value) = (0, 0.0);
        for field in fields {
            let field = field?;
            match field.number {
                1 if self.request.version == RemoteVersion::One => {
                    pairs.push(labels::pair(field.message()?)?)
                }
                1 => field.varints(|v| varint::write(&mut refs, v))?,
                2 => value = field.double()?,
                3 => timestamp_ms = field.varint()? as i64,
                _ => {}
            }
        }
        let resolved = labels::resolve(&refs, &self.request.symbols, |pair| pairs.push(pair));
        let labels = resolved.and_then(|()| exemplar_labels(pairs));
        Ok(Point::Exemplar { timestamp_ms, value, labels })
    }

    fn metadata(&self, fields: Fields<'a>) -> Result<Result<Metadata, LabelFault>, WireError> {
        let mut kind = MetricType::Unknown;
        let (mut help, mut unit) = (0, 0);
        for field in fields {
            let field = field?;
            match field.number {
                1 => kind = metric_type(field.varint()?),
                3 => help = field.varint()?,
                4 => unit = field.varint()?,
                _ => {}
            }
        }
        Ok(self.symbol(help).and_then(|help| Ok(Metadata { kind, help, unit: self.symbol(unit)? })))
    }

    fn symbol(&self, index: u64) -> Result<String, LabelFault> {
        let symbols = &self.request.symbols;
        let found = usize::try_from(index).ok().and_then(|at| symbols.get(at));
        match found {
            Some(bytes) => {
                Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]).into_owned())
            }
            // The first symbol must be "", and index 0 means absent.
            None if index == 0 => Ok(String::new()),
            None => Err(LabelFault::Symbol { index, symbols: symbols.len() }),
        }
    }
}

/// The labels of an exemplar. Their characters are counted when it is stored.
fn exemplar_labels(pairs: Pairs<'_>) -> Result<Labels, LabelFault> {
    const BYTES_MAX: usize = 16 * Exemplar::LABEL_CHARS_MAX;
    if pairs.bytes() > BYTES_MAX {
        return Err(LabelFault::ExemplarTooLong { bytes: pairs.bytes(), limit: Exemplar::LABEL_CHARS_MAX });
    }
    labels::set(&pairs.finish()?)
}

#[inline]
fn sample(field: &Field<'_>) -> Result<Point, WireError> {
    let (mut timestamp_ms, mut start_ms, mut value) = (0, 0, 0.0);
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => value = field.double()?,
            2 => timestamp_ms = field.varint()? as i64,
            3 => start_ms = field.varint()? as i64,
            _ => {}
        }
    }
    Ok(Point::Sample { timestamp_ms, start_ms, value })
}

/// The label fields of one series: a slice if they are contiguous, else a copy.
#[derive(Default)]
struct LabelRun {
    span: Option<(usize, usize)>,
    scattered: Vec<u8>,
}

impl LabelRun {
    /// Adds the bytes of `message` from `start` to `end`.
    fn add(&mut self, message: &Fields<'_>, start: usize, end: usize) {
        match &mut self.span {
            None if self.scattered.is_empty() => self.span = Some((start, end)),
            Some(span) if span.1 == start => span.1 = end,
            _ => {
                self.scatter(message);
                self.scattered.extend_from_slice(message.slice(start, end));
            }
        }
    }

    /// Adds a field of references, which in its packed form is already a sequence of varints.
    fn add_refs(&mut self, message: &Fields<'_>, field: &Field<'_>) -> Result<(), WireError> {
        field.varints(|_| ())?;
        if let (Ok(packed), None, true) = (field.bytes(), self.span, self.scattered.is_empty()) {
            let start = field.body_offset - message.base();
            self.span = Some((start, start + packed.len()));
            return Ok(());
        }
        self.scatter(message);
        field.varints(|v| varint::write(&mut self.scattered, v))
    }

    fn scatter(&mut self, message: &Fields<'_>) {
        if let Some((start, end)) = self.span.take() {
            self.scattered.extend_from_slice(message.slice(start, end));
        }
    }

    fn finish<'a>(self, message: &Fields<'a>) -> Cow<'a, [u8]> {
        match self.span {
            Some((start, end)) => Cow::Borrowed(message.slice(start, end)),
            None => Cow::Owned(self.scattered),
        }
    }
}
