//! Ingestion of line protocol: decode, find series, append.
//!
//! Each line is stored completely or refused completely; refused lines do not affect the others.
//!
//! Next: `line/` decodes, `line_cache.rs` finds the series, `appender.rs` stores.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::known::fields::{FIELDS_FEW, by_name, new_among};
use crate::engine::known::line_cache::{FieldNames, Known, LineContext, LineKey, LineSeries};
use crate::engine::write::appender::Appender;
use crate::engine::write::line_options::{ERRORS_MAX, LineOptions};
use crate::head::batch::{RowTarget, Stamp};
use crate::head::{Event, HeadSeries};
use crate::line::{self, FieldValue, Line, LineError, LineErrorKind, Lines};
use crate::model::{Labels, METRIC_NAME, Timestamp, Value};
use crate::{Error, ErrorKind, Result};

/// One of the bodies that [`Engine::write_line_bodies`] stores together.
#[derive(Debug, Clone, Copy)]
pub struct LineBody<'b> {
    /// Whole lines; the last one need not end with a line feed.
    pub bytes: &'b [u8],
    /// Time of its lines that give none; `None`: what the options say.
    pub default_timestamp: Option<crate::Timestamp>,
}

/// The result of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineReport {
    /// Number of lines other than blank lines and comments.
    pub lines_total: u64,
    /// Number of refused lines; the others are stored.
    pub lines_bad: u64,
    /// Of the refused lines, the number of those that reached a limit which clears with time (new series in a second,
    /// memory): the same lines may be accepted later.
    pub lines_limited: u64,
    /// Number of samples stored.
    pub samples: u64,
    /// Number of string fields stored as events.
    pub events: u64,
    /// The errors of the first refused lines, at most [`LineOptions::errors_max`].
    pub errors: Vec<LineError>,
    /// For each of `errors`, the index of the body with the line.
    pub error_bodies: Vec<usize>,
    /// Of the stored lines, the number of those whose time differs from the clock by more than [`LineReport::FAR`].
    /// Usually, [`LineOptions::precision`] is not the unit that the writer intended, or the writer's clock is not set.
    pub lines_far: u64,
    /// The first of them.
    pub first_far: Option<FarLine>,
}

/// A line whose time is far from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FarLine {
    /// The index of its body.
    pub body: usize,
    /// Its time.
    pub timestamp: crate::Timestamp,
}

impl LineReport {
    /// Default of [`LineOptions::errors_max`].
    pub const ERRORS_MAX: usize = ERRORS_MAX;
    /// A time that differs from the clock by more than ten years is far from it. With a unit that is wrong by a factor
    /// of a thousand, the present becomes January 1970; a clock that was never set is also decades behind.
    pub const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

    fn refuse(&mut self, body: usize, error: LineError, errors_max: usize) {
        self.lines_bad += 1;
        if self.errors.len() < errors_max {
            self.errors.push(error);
            self.error_bodies.push(body);
        }
    }

    #[cold]
    fn stored_far(&mut self, body: usize, timestamp: Timestamp) {
        self.lines_far += 1;
        self.first_far.get_or_insert(FarLine { body, timestamp: crate::Timestamp::from_nanos(timestamp) });
    }
}

/// Bytes of a label set without tags and field: `__name__` and its separator.
const NAME_BYTES: usize = METRIC_NAME.len() + 1;

impl Engine {
    /// Appends line protocol. Returns when everything accepted is durable, according to the durability option.
    ///
    /// # Errors
    /// An I/O error, or memory that stays full. In that case, bodies of up to 100,000 samples and 16 MiB of string
    /// fields are stored whole or not at all, if the memory for batches is sufficient
    /// ([`options::PARTS`](crate::options::PARTS)); of larger bodies, the pieces before the failure are stored. Bad
    /// lines are not an error; they are in the report.
    pub fn write_lines(&self, body: &[u8], options: &LineOptions) -> Result<LineReport> {
        self.write_line_bodies([LineBody { bytes: body, default_timestamp: None }], options)
    }

    /// Appends the lines of several bodies, which become durable together with one sync. Each body is parsed
    /// separately, so that an unterminated string or half a line does not run into the next body.
    ///
    /// # Errors
    /// Same as [`Engine::write_lines`].
    pub fn write_line_bodies<'b>(
        &self,
        bodies: impl IntoIterator<Item = LineBody<'b>>,
        options: &LineOptions,
    ) -> Result<LineReport> {
        let shared = &self.shared;
        let to = Appender::new(shared)?;
        let mut limits = options.limits;
        limits.tags = limits.tags.min(shared.options.labels_per_series);
        let extra = options.all_extra_labels();
        let tenant = options.tenant.as_ref();
        let context = shared.writer.known().lines().context(&extra, tenant, &options.naming, &limits);
        let now = shared.admission.now();
        let far = i64::try_from(LineReport::FAR.as_nanos()).unwrap_or(i64::MAX);
        let mut writer = LineWriter {
            to,
            fields: context.fields(),
            context,
            near: now.saturating_sub(far)..=now.saturating_add(far),
            default_timestamp: now,
            body: 0,
            indexes: Vec::new(),
            learned: Vec::new(),
            report: LineReport::default(),
            errors_max: options.errors_max,
            failed: None,
        };
        let lines_of = |body: LineBody<'b>| {
            let default =
                body.default_timestamp.or(options.default_timestamp).map_or(now, crate::Timestamp::as_nanos);
            (default, Lines::new(body.bytes, options.precision, limits))
        };
        let stored = writer.add_bodies(bodies.into_iter().map(lines_of));
        let stored = stored.and(writer.to.wait());
        writer.take_back(0, 0);
        stored?;
        let LineWriter { to, report, .. } = writer;
        Ok(LineReport { samples: to.samples, events: to.events, ..report })
    }
}

/// Converts lines to rows of a batch.
struct LineWriter<'p> {
    to: Appender<'p>,
    context: Arc<LineContext>,
    fields: FieldNames,
    /// Times that are not far from the clock.
    near: RangeInclusive<Timestamp>,
    default_timestamp: Timestamp,
    /// The index of the current body.
    body: usize,
    /// For each field of the current line, its index in the group; reused.
    indexes: Vec<u32>,
    /// Keys whose series were added to the cache by this call.
    learned: Vec<LineKey>,
    report: LineReport,
    errors_max: usize,
    /// Why a piece before the current line could not be committed.
    failed: Option<Error>,
}

/// Marks a string field among the indexes.
const TEXT: u32 = u32::MAX;

impl LineWriter<'_> {
    /// Adds all lines of all bodies, each with the time of its lines without one.
    fn add_bodies<'b>(&mut self, bodies: impl Iterator<Item = (Timestamp, Lines<'b>)>) -> Result<()> {
        for (number, (default_timestamp, lines)) in bodies.enumerate() {
            self.body = number;
            self.default_timestamp = default_timestamp;
            self.add_body(lines)?;
        }
        self.to.commit()
    }

    /// Adds all lines of one body, committing pieces on the way.
    fn add_body(&mut self, mut lines: Lines<'_>) -> Result<()> {
        loop {
            if self.to.is_full() && !lines.is_at_end() {
                self.to.make_room(0)?;
            }
            let peeked = lines.peek_series().map(|key| (key, self.context.key(key)));
            if !peeked.is_some_and(|(key, hashed)| self.add_known(&mut lines, key, hashed)) {
                let (created, learned) = (self.to.created(), self.learned.len());
                match lines.next().map(|line| line.and_then(|line| self.add(&line, peeked))) {
                    Some(Ok(())) => {}
                    Some(Err(_)) if self.failed.is_some() => {
                        return self.failed.take().map_or(Ok(()), Err);
                    }
                    Some(Err(error)) => {
                        self.take_back(created, learned);
                        self.report.refuse(self.body, error, self.errors_max);
                    }
                    None => return Ok(()),
                }
            }
            self.report.lines_total += 1;
        }
    }

    /// Removes series of which nothing was stored, and their cache entries.
    fn take_back(&mut self, first_created: usize, first_learned: usize) {
        if self.to.take_back(first_created) {
            for key in self.learned.drain(first_learned..) {
                self.to.shared.writer.known().lines().forget_dead(&self.context, key);
            }
        }
    }

    /// Tries to add the next line, whose series key is `key`, on the fast path, which nearly all lines take.
    #[inline]
    fn add_known(&mut self, lines: &mut Lines<'_>, key: &[u8], hashed: LineKey) -> bool {
        let LineWriter {
            to: Appender { rows, horizon, .. },
            context,
            fields: names,
            default_timestamp,
            near,
            body,
            report,
            ..
        } = self;
        let found = context.look(hashed, |known| {
            let (group, fields) = match known {
                Known::Group(series) => (RowTarget::from(&series.group), &series.fields[..]),
                Known::Single(series, number) => {
                    if names.len() <= *number as usize {
                        *names = context.fields();
                    }
                    (RowTarget::One(series.clone()), std::slice::from_ref(&names[*number as usize]))
                }
            };
            rows.fill_row(group, |values| {
                let push = |value| values.extend(sample_value(&value));
                let known = lines.read_known(key, fields, push)?;
                let timestamp = known.timestamp.unwrap_or(*default_timestamp);
                // The slow path reports samples that are too old.
                (timestamp > horizon.some).then(|| {
                    lines.take_known(known);
                    if !near.contains(&timestamp) {
                        report.stored_far(*body, timestamp);
                    }
                    (timestamp, stamp(known.timestamp))
                })
            })
        });
        found.unwrap_or(false)
    }

    /// Adds a line that has been checked; `peeked` is the result of an earlier lookup.
    fn add(
        &mut self,
        line: &Line<'_>,
        peeked: Option<(&[u8], LineKey)>,
    ) -> std::result::Result<(), LineError> {
        let timestamp = line.timestamp.unwrap_or(self.default_timestamp);
        self.to.rows.stamp = stamp(line.timestamp);
        if timestamp <= self.to.horizon.everything {
            return Err(self.too_old(line, timestamp, self.to.horizon.everything));
        }
        let is_peeked = |key: &[u8]| std::ptr::eq(key, line.series_key);
        let key = match peeked {
            Some((key, hashed)) if is_peeked(key) => hashed,
            _ => self.context.key(line.series_key),
        };
        let known = match self.context.get(key) {
            Some(known) if self.locate(line, &known) => known,
            known => self.learn(line, key, known)?,
        };
        match known {
            Known::Single(series, _) => {
                if self.to.horizon.is_past(timestamp, &series.labels) {
                    return Err(self.too_old(line, timestamp, self.to.horizon.of_series(&series.labels)));
                }
                for value in line.fields().filter_map(|(_, value)| sample_value(&value)) {
                    self.to.rows.push(series.clone(), timestamp, 0, value);
                }
            }
            Known::Group(series) => {
                let (events, mut past) = self.events(line, timestamp)?;
                for ((_, value), &index) in line.fields().zip(&self.indexes) {
                    let Some(value) = sample_value(&value) else { continue };
                    if self.to.horizon.is_past(timestamp, &series.group[index as usize].labels) {
                        past += 1;
                    } else {
                        self.to.rows.push_of_group(&series.group, index, timestamp, value);
                    }
                }
                self.to.too_old(past);
                events.into_iter().for_each(|event| self.to.rows.push_event(event));
            }
        }
        if !self.near.contains(&timestamp) {
            self.report.stored_far(self.body, timestamp);
        }
        Ok(())
    }

    /// The refusal of a line that is past the retention, which reaches back to `limit`.
    #[cold]
    fn too_old(&self, line: &Line<'_>, timestamp: Timestamp, limit: Timestamp) -> LineError {
        self.to.too_old(1);
        let why = format!(
            "timestamp {timestamp} is older than the retention, which reaches back to {limit} (retention, ladders, \
             event_retention)"
        );
        line.reject(LineErrorKind::Refused { why })
    }

    /// Whether the cache entry of the line's key has all of its fields.
    fn locate(&mut self, line: &Line<'_>, known: &Known) -> bool {
        match known {
            Known::Group(series) => self.locate_in_group(line, series),
            Known::Single(_, number) => {
                if self.fields.len() <= *number as usize {
                    self.fields = self.context.fields();
                }
                let mut fields = line.fields();
                matches!((fields.next(), fields.next()), (Some((key, value)), None)
                    if *self.fields[*number as usize] == *key && !matches!(value, FieldValue::Text(_)))
            }
        }
    }

    /// Finds the index of each field among the known ones. Returns false if one is missing.
    fn locate_in_group(&mut self, line: &Line<'_>, series: &LineSeries) -> bool {
        self.indexes.clear();
        let mut places = None;
        for (place, (key, value)) in line.fields().enumerate() {
            if matches!(value, FieldValue::Text(_)) {
                self.indexes.push(TEXT);
                continue;
            }
            // A writer always sends its fields in the same order.
            let is_here = series.fields.get(place).is_some_and(|f| **f == *key);
            let found = if is_here {
                Some(place)
            } else if series.fields.len() <= FIELDS_FEW {
                series.fields.iter().position(|f| **f == *key)
            } else {
                let places = places.get_or_insert_with(|| by_name(&series.fields));
                places.get(key).copied()
            };
            match found {
                Some(index) => self.indexes.push(index as u32),
                None => return false,
            }
        }
        true
    }

    /// Creates the series of new fields and adds them to the cache.
    #[cold]
    fn learn(
        &mut self,
        line: &Line<'_>,
        key: LineKey,
        known: Option<Known>,
    ) -> std::result::Result<Known, LineError> {
        let mut fields = line.fields();
        if let (None, Some((field, value)), None) = (&known, fields.next(), fields.next())
            && !matches!(value, FieldValue::Text(_))
            && let Some(number) = self.context.number_of(field)
        {
            let single = Known::Single(self.resolve(line, field)?, number);
            self.remember(key, single.clone());
            return Ok(single);
        }
        let (mut fields, mut group) = self.taken_apart(known);
        let samples = line.fields().filter(|(_, value)| !matches!(value, FieldValue::Text(_)));
        let new = new_among(&fields, samples.map(|(field, _)| field));
        self.check_label_bytes(line, &new)?;
        fields.reserve_exact(new.len());
        group.reserve_exact(new.len());
        for field in new {
            group.push(self.resolve(line, field)?);
            fields.push(field.into());
        }
        let series = Arc::new(LineSeries { fields: fields.into(), group: group.into() });
        self.locate_in_group(line, &series);
        let known = Known::Group(series);
        self.remember(key, known.clone());
        Ok(known)
    }

    fn remember(&mut self, key: LineKey, known: Known) {
        self.learned.push(key);
        self.to.shared.writer.known().lines().insert(&self.context, key, known);
    }

    /// Checks the size of the label sets of some fields before they are created: each has all of the tags. The limit of
    /// one label set is checked separately.
    fn check_label_bytes(&self, line: &Line<'_>, fields: &[&[u8]]) -> std::result::Result<(), LineError> {
        if fields.len() < 2 {
            return Ok(());
        }
        let extra: usize = self.context.extra_labels().iter().map(|(k, v)| k.len() + v.len()).sum();
        let tags = line.series_key.len() + extra + NAME_BYTES;
        let bytes: usize = fields.iter().map(|field| tags + field.len()).sum();
        let limit = self.to.shared.options.label_bytes_per_line;
        if bytes <= limit {
            return Ok(());
        }
        let why = format!(
            "{} of its fields need label sets of {bytes} bytes together, since each has all of the tags; the limit for \
             one line is {limit} (max_line_label_bytes, Options::label_bytes_per_line): send shorter tags or fewer \
             fields in a line, or raise it",
            fields.len()
        );
        Err(line.reject(LineErrorKind::Refused { why }))
    }

    /// The known fields of a key, and their series.
    fn taken_apart(&self, known: Option<Known>) -> (Vec<Box<[u8]>>, Vec<Arc<HeadSeries>>) {
        match known {
            None => (Vec::new(), Vec::new()),
            Some(Known::Single(series, number)) => {
                (vec![self.context.fields()[number as usize].clone()], vec![series])
            }
            Some(Known::Group(known)) => (known.fields.to_vec(), known.group.to_vec()),
        }
    }

    /// The series of a field, found by its labels.
    fn resolve(&mut self, line: &Line<'_>, field: &[u8]) -> std::result::Result<Arc<HeadSeries>, LineError> {
        let labels = self.labels(line, field)?;
        self.to.series(&labels).map_err(|e| {
            self.report.lines_limited += u64::from(e.kind() == ErrorKind::Busy);
            line.reject(LineErrorKind::Refused { why: e.to_string() })
        })
    }

    fn labels(&self, line: &Line<'_>, field: &[u8]) -> std::result::Result<Labels, LineError> {
        let labels = line::labels(line.series_key, field, self.context.extra_labels(), self.context.naming())
            .map_err(|reason| line.reject(reason))?;
        if let Some(tenant) = self.context.tenant() {
            tenant
                .check(&labels)
                .map_err(|foreign| line.reject(LineErrorKind::Refused { why: foreign.to_string() }))?;
        }
        Ok(labels)
    }

    /// Takes memory for the string fields of a line before they are created: each has all of the tags.
    fn make_room_for_events(&mut self, line: &Line<'_>) -> std::result::Result<(), LineError> {
        let extra: usize = self.context.extra_labels().iter().map(|(k, v)| k.len() + v.len()).sum();
        let tags = line.series_key.len() + extra + NAME_BYTES + size_of::<Event>();
        let bytes = line.fields().filter_map(|(field, value)| match value {
            FieldValue::Text(text) => Some((tags + field.len() + text.len()) as u64),
            _ => None,
        });
        let bytes: u64 = bytes.sum();
        if let Some(most) = self.to.shared.admission.batches().too_large(bytes) {
            let why = format!(
                "its string fields and their labels take {bytes} bytes, and the memory for batches allows {most} in a line \
                 (memory): send fewer in a line, or raise it"
            );
            return Err(line.reject(LineErrorKind::Refused { why }));
        }
        let stamp = self.to.rows.stamp;
        let made = self.to.make_room(bytes);
        self.to.rows.stamp = stamp;
        made.map_err(|error| {
            let why = error.to_string();
            self.failed = Some(error);
            line.reject(LineErrorKind::Refused { why })
        })
    }

    /// The string fields of a line, or how many are past their retention.
    fn events(
        &mut self,
        line: &Line<'_>,
        timestamp: Timestamp,
    ) -> std::result::Result<(Vec<Event>, u64), LineError> {
        if !self.indexes.contains(&TEXT) {
            return Ok((Vec::new(), 0));
        }
        if timestamp <= self.to.horizon.events {
            let texts = self.indexes.iter().filter(|index| **index == TEXT).count();
            return match texts < self.indexes.len() {
                true => Ok((Vec::new(), texts as u64)),
                false => Err(self.too_old(line, timestamp, self.to.horizon.events)),
            };
        }
        let texts = line.fields().filter(|(_, value)| matches!(value, FieldValue::Text(_)));
        self.check_label_bytes(line, &texts.map(|(field, _)| field).collect::<Vec<_>>())?;
        self.make_room_for_events(line)?;
        let mut events = Vec::new();
        for (key, value) in line.fields() {
            if let FieldValue::Text(text) = value {
                events.push(Event {
                    labels: self.labels(line, key)?,
                    timestamp: crate::Timestamp::from_nanos(timestamp),
                    text: text.into_owned(),
                });
            }
        }
        Ok((events, 0))
    }
}

/// The origin of a line's timestamp.
fn stamp(given: Option<Timestamp>) -> Stamp {
    if given.is_some() { Stamp::Given } else { Stamp::Clock }
}

/// The sample of a field; `None` for text. An unsigned integer beyond `i64` is stored as the nearest float. It is the
/// only number of the protocol that can lose precision.
fn sample_value(value: &FieldValue<'_>) -> Option<Value> {
    Some(match value {
        FieldValue::Float(v) => Value::Float(*v),
        FieldValue::Int(v) => Value::Int(*v),
        FieldValue::UInt(v) => i64::try_from(*v).map_or(Value::Float(*v as f64), Value::Int),
        FieldValue::Bool(v) => Value::Float(f64::from(u8::from(*v))),
        FieldValue::Text(_) => return None,
    })
}
