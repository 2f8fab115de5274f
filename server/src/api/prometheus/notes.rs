//! Data besides samples: metadata of metrics, exemplars of series.

use barograph::internals::syntax;
use barograph::{Exemplar, Expressions, Labels, Metadata};

use crate::api::call::{Call, success};
use crate::api::gate::Asked;
use crate::error::ApiError;
use crate::http::reply::{JSON, Reply};
use crate::json::{self, Sink};

/// `/api/v1/metadata?metric=…&limit=…&limit_per_metric=…`
///
/// # Errors
/// 400 for bad limits.
pub async fn metadata(call: Call) -> Result<Reply, ApiError> {
    let metric = call.params.get("metric").map(str::to_owned);
    let limit = most(call.params.limit("limit")?);
    let per_metric = most(call.params.limit("limit_per_metric")?);
    let database = call.database()?;
    let admitted = call.admit(Asked::of(&call)?.named(metric.clone().unwrap_or_default())).await?;
    admitted
        .answer(JSON, move |work, out| {
            let found = database.reader(work).metadata(metric.as_deref(), limit)?;
            success(out, &[], &[], |out| {
                out.text(b"{")?;
                for (i, (family, entries)) in found.iter().enumerate() {
                    out.put(family.len() + 8, |out| {
                        out.extend_from_slice(if i > 0 { b"," } else { b"" });
                        json::string(out, family);
                        out.push(b':');
                    })?;
                    // The newest description first.
                    let newest = entries.iter().rev().take(per_metric);
                    json::items(out, newest, |one| one.help.len() + one.unit.len() + 64, entry)?;
                }
                out.text(b"}")
            })
        })
        .await
}

/// The limit, where 0 means no limit.
fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn entry(out: &mut Vec<u8>, metadata: &Metadata) {
    out.extend_from_slice(b"{\"type\":");
    json::string(out, metadata.kind.as_str());
    out.extend_from_slice(b",\"help\":");
    json::string(out, &metadata.help);
    out.extend_from_slice(b",\"unit\":");
    json::string(out, &metadata.unit);
    out.push(b'}');
}

/// `/api/v1/query_exemplars?query=…&start=…&end=…`: the exemplars of every series that a selector of the query matches.
///
/// # Errors
/// 400 for a text that is not a query, and for invalid times.
pub async fn exemplars(call: Call) -> Result<Reply, ApiError> {
    let range = call.params.range()?;
    let text = super::query::text(&call)?.to_owned();
    let database = call.database()?;
    let regex_memory_max = call.config.query_regex_memory;
    let admitted = call.admit(Asked::of(&call)?.named(text.clone())).await?;
    admitted
        .answer(JSON, move |work, out| {
            let mut expressions = Expressions::new(work.clone(), regex_memory_max);
            let expr = syntax::parse_within(&text, &mut expressions)?;
            let selectors: Vec<_> = syntax::selectors(&expr).into_iter().map(<[_]>::to_vec).collect();
            let found = database.reader(work).exemplars(&selectors, range)?;
            success(out, &[], &[], |out| json::items(out, &found, |found| room(found), series))
        })
        .await
}

fn room((labels, exemplars): &(Labels, Vec<Exemplar>)) -> usize {
    let all: usize = exemplars.iter().map(|exemplar| json::labels_room(&exemplar.labels) + 64).sum();
    json::labels_room(labels) + all + 64
}

fn series(out: &mut Vec<u8>, (labels, exemplars): &(Labels, Vec<Exemplar>)) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    json::labels(out, labels);
    out.extend_from_slice(b",\"exemplars\":");
    json::list(out, exemplars, |out, exemplar| {
        out.extend_from_slice(b"{\"labels\":");
        json::labels(out, &exemplar.labels);
        out.extend_from_slice(b",\"value\":\"");
        json::float(out, exemplar.value);
        out.extend_from_slice(b"\",\"timestamp\":");
        json::time(out, exemplar.timestamp.as_millis());
        out.push(b'}');
    });
    out.push(b'}');
}
