//! Prometheus remote read: all samples in one message, or chunks in a stream.
//!
//! A sampled answer is built in memory and bounded. A streamed answer keeps one piece of a series in memory at a time.
//! An error before the first frame of a stream is answered with a status; a later one closes the connection.
//!
//! Next: `remote_read/` for the formats, `barograph::Reader::read` for the samples.

use barograph::budget::{Taken, Work};
use barograph::internals::Samples;
use barograph::{CompileError, Expressions, Labels};
use hyper::header::{self, HeaderValue};

use crate::admission::{Answer, Pieces, Whole};
use crate::api::call::Call;
use crate::api::gate::Asked;
use crate::error::ApiError;
use crate::http::body::BodyLimits;
use crate::http::reply::Reply;
use crate::json::Sink;
use crate::remote_read::request::{Form, Query, RequestFault};
use crate::remote_read::{request, sampled, streamed};
use crate::runtime;
use barograph::Database;
use barograph::QueryError;

const SAMPLED: &str = "application/x-protobuf";
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Maximum bytes of a request's selectors in the list of active work.
const TEXT_MAX: usize = 4096;
/// Maximum size of a sampled answer before compression, bytes.
const SAMPLED_BYTES_MAX: usize = 128 << 20;

/// `/api/v1/read`
///
/// # Errors
/// 415 for another compression, 400 for a malformed request and for more samples than one query may have, 422 for more
/// series, 429 if the share of queries has no memory for the request, 503 when the time is up.
pub async fn read(mut call: Call) -> Result<Reply, ApiError> {
    let mut held = call.read_snappy(BodyLimits::question(&call.config)).await?;
    let unpacked = runtime::blocking(move || {
        held.decode()?;
        let form = request::form(&held.bytes).map_err(fault)?;
        let text = request::describe(&held.bytes, TEXT_MAX);
        Ok::<_, ApiError>((held, form, text))
    });
    let (held, form, text) = unpacked.await??;
    // From here on, the memory of the body belongs to queries, so that bodies of writes do not wait for the turns of
    // reads.
    let body = call.keep_body(held)?;
    let reader = Reader {
        database: call.database()?,
        series_max: call.config.query_max_series,
        samples_left: call.config.query_max_samples,
        samples_max: call.config.query_max_samples,
    };
    let admitted = call.admit(Asked::of(&call)?.named(text)).await?;
    let regex_memory_max = call.config.query_regex_memory;
    let decode = move |body: &[u8], work: &Work| {
        let mut expressions = Expressions::new(work.clone(), regex_memory_max);
        let queries = request::decode(body, &mut expressions).map_err(fault)?;
        // The memory of the expressions stays counted for as long as they exist.
        Ok::<_, ApiError>((queries, expressions))
    };
    match form {
        Form::Sampled => {
            let read = move |work: &Work| reader.clone().sampled(&decode(&body, work)?.0, work);
            let reply = admitted.whole(SAMPLED, read).await?;
            Ok(reply.header(header::CONTENT_ENCODING, HeaderValue::from_static("snappy")))
        }
        Form::Streamed => {
            let read = move |work: &Work, out: &mut Pieces| {
                let decoded = decode(&body, work)?;
                drop(body);
                reader.streamed(&decoded.0, work, out)
            };
            admitted.stream(STREAMED, read).await
        }
    }
}

fn fault(fault: RequestFault) -> ApiError {
    match fault {
        RequestFault::Expressions(CompileError::Stopped(stopped)) => QueryError::from(stopped).into(),
        RequestFault::Expressions(CompileError::Memory(denied)) => QueryError::from(denied).into(),
        RequestFault::Expressions(error) => ApiError::bad_data(format!(
            "{error}: use simpler expressions, split the query, or raise it (query_regex_memory)"
        )),
        fault => ApiError::bad_data(fault.to_string()),
    }
}

/// Reads series within the limits of one request.
#[derive(Clone)]
struct Reader {
    database: Database,
    series_max: usize,
    samples_left: u64,
    samples_max: u64,
}

impl Reader {
    /// Calls `visit` with each series of one query, or with its pieces in order, until it fails.
    fn each(
        &mut self,
        query: &Query,
        form: Form,
        work: &Work,
        mut visit: impl FnMut(&Labels, &Samples) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let reader = self.database.reader(work);
        let mut outcome = Ok(());
        let (left, samples_max) = (&mut self.samples_left, self.samples_max);
        let visit = |labels: &Labels, samples: barograph::Samples<'_>| {
            let samples = samples.columns();
            outcome = admit(left, samples_max, samples).and_then(|()| visit(labels, samples));
            outcome.is_ok()
        };
        let selectors = std::slice::from_ref(&query.matchers);
        match form {
            Form::Sampled => reader.read(selectors, query.range, self.series_max, visit)?,
            Form::Streamed => reader.read_pieces(selectors, query.range, self.series_max, visit)?,
        }
        outcome
    }

    fn sampled(mut self, queries: &[Query], work: &Work) -> Result<Answer, ApiError> {
        let (mut message, mut result) = (Whole::new(work), Whole::new(work));
        for query in queries {
            result.clear();
            let before = message.bytes().len();
            self.each(query, Form::Sampled, work, |labels, samples| {
                result
                    .put(sampled::room(labels, samples), |out| sampled::put_series(out, labels, samples))?;
                if result.bytes().len() + before > SAMPLED_BYTES_MAX {
                    return Err(ApiError::bad_data(format!(
                        "the answer has more than {SAMPLED_BYTES_MAX} bytes, a fixed limit of answers in one \
                         message; ask for less, or accept STREAMED_XOR_CHUNKS"
                    )));
                }
                Ok(())
            })?;
            let result = result.bytes();
            message.put(result.len() + 16, |out| sampled::put_result(out, result))?;
        }
        drop(result);
        let taken = Taken::of(work);
        taken.at_least(snap::raw::max_compress_len(message.bytes().len()))?;
        let mut compressed = snap::raw::Encoder::new()
            .compress_vec(message.bytes())
            .map_err(|e| ApiError::internal(format!("the answer cannot be compressed: {e}")))?;
        drop(message);
        compressed.shrink_to_fit();
        drop(taken);
        let taken = Taken::of(work);
        taken.at_least(compressed.capacity())?;
        Ok(Answer::whole(compressed, taken))
    }

    fn streamed(mut self, queries: &[Query], work: &Work, out: &mut Pieces) -> Result<(), ApiError> {
        for (index, query) in queries.iter().enumerate() {
            let put = |labels: &Labels, samples: &Samples| streamed::put_series(out, index, labels, samples);
            self.each(query, Form::Streamed, work, put)?;
        }
        Ok(())
    }
}

fn admit(left: &mut u64, most: u64, samples: &Samples) -> Result<(), ApiError> {
    match left.checked_sub(samples.len() as u64) {
        Some(rest) => *left = rest,
        None => {
            return Err(ApiError::bad_data(format!(
                "the answer has more than {most} samples (query_max_samples); ask for less, or raise it"
            )));
        }
    }
    Ok(())
}
