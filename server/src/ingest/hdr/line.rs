//! A line of a log: its time, labels and histogram.

use std::collections::BTreeMap;
use std::io::Read;

use barograph::internals::{sketch, sketched};
use barograph::{Histogram, Labels, METRIC_NAME, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;

use super::{COMPRESSED, LEGEND, LogOptions, PAYLOAD_MAX, PLAIN, TAG_MAX, tag};

const YEAR_SECONDS: f64 = 365.0 * 86_400.0;

/// A histogram and where it belongs.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub labels: Labels,
    pub time: Timestamp,
    pub histogram: Histogram,
}

/// Reads a line; `None` if it has no histogram. Adds the bytes of its payload to `unpacked`, even if the line is bad.
pub(super) fn read_line(
    line: &[u8],
    times: &mut Times,
    options: &LogOptions,
    unpacked: &mut u64,
) -> Result<Option<Line>, String> {
    let line =
        std::str::from_utf8(line).map_err(|e| format!("it is not UTF-8 from byte {} on", e.valid_up_to()))?;
    let line = line.trim();
    if let Some(comment) = line.strip_prefix('#') {
        times.read(comment)?;
        return Ok(None);
    }
    if line.is_empty() || line.starts_with(LEGEND) {
        return Ok(None);
    }
    let (tag, line) = match line.strip_prefix("Tag=") {
        Some(tagged) => {
            tagged.split_once(',').map(|(tag, line)| (Some(tag), line)).ok_or("a tag ends with a comma")?
        }
        None => (None, line),
    };
    // A line of commas takes no more memory than one of four fields.
    let fields: Vec<&str> = line.splitn(5, ',').map(str::trim).collect();
    let [start, length, _, payload] = fields[..] else {
        return Err(format!("expected start,length,max,payload, found {} fields", line.split(',').count()));
    };
    let time = times.end(seconds("the start", start)?, seconds("the length", length)?)?;
    let labels = labels_of(tag, options)?;
    let payload = decompressed(payload, unpacked)?;
    let mut tally = sketched::Tally::default();
    let read = sketch::hdr::read(&payload, options.unit, |value, count| tally.add(value, count));
    read.map_err(|fault| format!("its payload is no histogram of encoding V2: {fault}"))?;
    Ok(Some(Line { labels, time, histogram: tally.finish() }))
}

/// The times from which those of intervals count, seconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    base: Option<f64>,
    start: Option<f64>,
}

impl Times {
    /// Reads a comment, without its `#`.
    fn read(&mut self, comment: &str) -> Result<(), String> {
        for (name, place) in [("[BaseTime:", &mut self.base), ("[StartTime:", &mut self.start)] {
            if let Some(text) = comment.strip_prefix(name) {
                let number = text.trim_start().split([' ', ']']).next().unwrap_or("");
                *place = Some(seconds(&name[1..name.len() - 1], number)?);
            }
        }
        Ok(())
    }

    /// The end of an interval, to the millisecond.
    fn end(&self, start: f64, length: f64) -> Result<Timestamp, String> {
        let base = match (self.base, self.start) {
            (Some(base), _) => base,
            (None, Some(from)) if start < from - YEAR_SECONDS => from,
            _ => 0.0,
        };
        let end = base + start + length;
        if !(YEAR_SECONDS..9e9).contains(&end) {
            return Err(format!(
                "it ends {end} seconds after 1970: name the time from which starts count with #[BaseTime: …]"
            ));
        }
        Ok(Timestamp::from_millis((end * 1000.0).round() as i64))
    }
}

fn seconds(what: &str, text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("{what} is no number of seconds: {:?}", shown(text))),
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The labels of a line.
fn labels_of(tag: Option<&str>, options: &LogOptions) -> Result<Labels, String> {
    let mut labels = BTreeMap::new();
    if let Some(tag) = tag {
        if tag.len() > TAG_MAX {
            return Err(format!("its tag has {} bytes, more than {TAG_MAX}, a fixed limit", tag.len()));
        }
        match tag::labels(tag) {
            Some(found) => labels = found,
            None => {
                labels.insert("tag".to_owned(), tag.to_owned());
            }
        }
    }
    labels.extend(options.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    if labels.get(METRIC_NAME).is_none_or(String::is_empty) {
        return Err("it has no metric name: give the parameter metric".to_owned());
    }
    Labels::from_pairs(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(|e| e.to_string())
}

/// The plain form of a payload.
fn decompressed(text: &str, unpacked: &mut u64) -> Result<Vec<u8>, String> {
    // Compression makes nothing much larger.
    if text.len() > 2 * PAYLOAD_MAX {
        return Err(too_large());
    }
    let bytes = STANDARD.decode(text).map_err(|e| format!("its payload is not base64: {e}"))?;
    let word =
        |at: usize| bytes.get(at..).and_then(|tail| tail.first_chunk().copied()).map(u32::from_be_bytes);
    match word(0) {
        Some(PLAIN) if bytes.len() > PAYLOAD_MAX => return Err(too_large()),
        Some(PLAIN) => return Ok(bytes),
        Some(COMPRESSED) => {}
        Some(other) => {
            return Err(format!("its payload begins with {other:#x}, not with the cookie of encoding V2"));
        }
        None => return Err("its payload has no four bytes".to_owned()),
    }
    let packed = bytes.get(8..).unwrap_or_default();
    if word(4).map(|length| length as usize) != Some(packed.len()) {
        return Err(format!("its payload has {} compressed bytes, and says otherwise", packed.len()));
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(packed).take(PAYLOAD_MAX as u64 + 1).read_to_end(&mut plain);
    *unpacked += plain.len() as u64;
    read.map_err(|e| format!("its payload cannot be decompressed: {e}"))?;
    if plain.len() > PAYLOAD_MAX { Err(too_large()) } else { Ok(plain) }
}

fn too_large() -> String {
    format!(
        "its payload has more than {PAYLOAD_MAX} bytes, a fixed limit: record with fewer significant digits"
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn options() -> LogOptions {
        let labels = BTreeMap::from([(METRIC_NAME.to_owned(), "m".to_owned())]);
        LogOptions { unit: 1.0, labels, payloads_max: u64::MAX }
    }

    /// A payload of encoding V2 with these counts.
    fn plain(counts: &[u8]) -> Vec<u8> {
        let mut payload = PLAIN.to_be_bytes().to_vec();
        payload.extend((counts.len() as u32).to_be_bytes());
        payload.extend([0, 0, 0, 0, 0, 0, 0, 3]);
        payload.extend(1u64.to_be_bytes());
        payload.extend((1u64 << 40).to_be_bytes());
        payload.extend(1f64.to_be_bytes());
        payload.extend(counts);
        payload
    }

    fn packed(payload: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(payload).unwrap();
        let packed = encoder.finish().unwrap();
        [&COMPRESSED.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat()
    }

    fn line_of(payload: &[u8]) -> String {
        format!("1700000000.5,1.25,7,{}", STANDARD.encode(payload))
    }

    fn read(line: &str) -> Result<Option<Line>, String> {
        read_line(line.as_bytes(), &mut Times::default(), &options(), &mut 0)
    }

    #[test]
    fn both_forms_of_a_payload_are_read() {
        // Twice 0, once 2.
        let payload = plain(&[4, 0, 2]);
        for payload in [payload.clone(), packed(&payload)] {
            let line = read(&line_of(&payload)).unwrap().unwrap();
            assert_eq!(line.time, Timestamp::from_millis(1_700_000_001_750));
            assert_eq!(line.labels.to_string(), "m");
            let Histogram { count, sum, zero_count, .. } = line.histogram;
            assert_eq!((count, sum, zero_count), (3.0, 2.0, 2.0));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = plain(&[2]);
        let cut = &packed(&good)[..20];
        for (line, why) in [
            ("1,2,3".to_owned(), "expected start,length,max,payload, found 3 fields"),
            ("1,2,3,4,5".to_owned(), "found 5 fields"),
            ("Tag=x".to_owned(), "a tag ends with a comma"),
            (
                format!("Tag={},1700000000,2,3,4", "a".repeat(TAG_MAX + 1)),
                "its tag has 1048577 bytes, more than",
            ),
            ("x,2,3,4".to_owned(), "the start is no number of seconds: \"x\""),
            ("1,-2,3,4".to_owned(), "the length is no number of seconds"),
            ("NaN,2,3,4".to_owned(), "the start is no number"),
            ("1,2,3,4".to_owned(), "it ends 3 seconds after 1970: name the time"),
            ("1e300,2,3,4".to_owned(), "name the time from which starts count"),
            ("1700000000,2,3,???".to_owned(), "not base64"),
            (line_of(b""), "no four bytes"),
            (
                line_of(&[0x1c, 0x84, 0x93, 0x08, 0]),
                "begins with 0x1c849308, not with the cookie of encoding V2",
            ),
            (line_of(cut), "compressed bytes, and says otherwise"),
            (line_of(&[&COMPRESSED.to_be_bytes()[..], &[0, 0, 0, 1, 7]].concat()), "cannot be decompressed"),
            (line_of(&good[..30]), "no histogram of encoding V2"),
            (line_of(&plain(&[0x81; 20])), "no histogram of encoding V2"),
            (line_of(&packed(&vec![0; PAYLOAD_MAX + 1])), "more than 1048576 bytes, a fixed limit"),
            (line_of(&plain(&vec![0; PAYLOAD_MAX])), "more than 1048576 bytes, a fixed limit"),
            ("1,2,3,".to_owned() + &"A".repeat(3 * PAYLOAD_MAX), "it ends 3 seconds"),
        ] {
            let found = read(&line).unwrap_err();
            assert!(found.contains(why), "{}: {found}", &line[..line.len().min(60)]);
        }
        assert!(read_line(b"\xff", &mut Times::default(), &options(), &mut 0).unwrap_err().contains("UTF-8"));
        assert_eq!(read("#anything"), Ok(None));
        assert_eq!(read(" \r"), Ok(None));
        assert_eq!(read("\"StartTimestamp\",\"Interval_Length\""), Ok(None));
    }

    /// A payload counts even if its line is bad.
    #[test]
    fn bad_payloads_count_too() {
        let mut unpacked = 0;
        let bomb = line_of(&packed(&vec![0; 16 * PAYLOAD_MAX]));
        assert!(bomb.len() < 30_000);
        read_line(bomb.as_bytes(), &mut Times::default(), &options(), &mut unpacked).unwrap_err();
        assert_eq!(unpacked, PAYLOAD_MAX as u64 + 1);
    }

    #[test]
    fn times_count_from_what_the_log_says() {
        let mut times = Times::default();
        let end = |times: &Times, start: f64| times.end(start, 1.0).map(|time| time.as_millis());
        assert_eq!(end(&times, 1.7e9), Ok(1_700_000_001_000));
        times.read("[StartTime: 1600000000.250 (seconds since epoch), Sun Sep 13]").unwrap();
        assert_eq!(end(&times, 0.125), Ok(1_600_000_001_375));
        assert_eq!(end(&times, 1.7e9), Ok(1_700_000_001_000), "a year before at most");
        times.read("[BaseTime: 1500000000 (seconds since epoch)]").unwrap();
        assert_eq!(end(&times, 0.125), Ok(1_500_000_001_125));
        times.read("[anything: else]").unwrap();
        assert!(
            times
                .read("[BaseTime: soon]")
                .unwrap_err()
                .contains("BaseTime is no number of seconds: \"soon\"")
        );
    }

    #[test]
    fn labels_of_the_request_win() {
        let payload = STANDARD.encode(plain(&[2]));
        let labels =
            |tag: &str| read(&format!("Tag={tag},1700000000,1,1,{payload}")).map(|line| line.unwrap().labels);
        assert_eq!(labels("A").unwrap(), Labels::from_pairs([("__name__", "m"), ("tag", "A")]).unwrap());
        assert_eq!(
            labels("job=x;__name__=y").unwrap(),
            Labels::from_pairs([("__name__", "m"), ("job", "x")]).unwrap()
        );
        let nameless = LogOptions { labels: BTreeMap::new(), ..options() };
        for tag in ["", "Tag=A,", "Tag=__name__=;job=x,"] {
            let line = format!("{tag}1700000000,1,1,{payload}");
            let found = read_line(line.as_bytes(), &mut Times::default(), &nameless, &mut 0);
            assert_eq!(found, Err("it has no metric name: give the parameter metric".to_owned()), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn hostile_lines(bytes in prop::collection::vec(any::<u8>(), 0..200), counts in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut times = Times::default();
            let _ = read_line(&bytes, &mut times, &options(), &mut 0);
            let _ = read(&line_of(&bytes));
            let _ = read(&line_of(&packed(&bytes)));
            if let Ok(Some(line)) = read(&line_of(&packed(&plain(&counts)))) {
                prop_assert_eq!(line.histogram.validate(), Ok(()));
            }
        }
    }
}
