//! What is known beside samples: metadata of metrics, exemplars of series.

use barograph_engine::model::{Exemplar, Labels, Metadata};
use barograph_query::syntax;

use crate::api::call::{Call, Encoded, success};
use crate::api::json;
use crate::api::reply::Reply;
use crate::error::ApiError;
use crate::storage;

/// `/api/v1/metadata?metric=…&limit=…&limit_per_metric=…`
///
/// # Errors
/// 400 for bad limits.
pub async fn metadata(call: Call) -> Result<Reply, ApiError> {
    let metric = call.params.get("metric").map(str::to_owned);
    let limit = most(call.params.limit("limit")?);
    let per_metric = most(call.params.limit("limit_per_metric")?);
    let database = call.database()?;
    let gzip = call.accepts_gzip();
    let encoded = storage::blocking(move || {
        let found = database.metadata(metric.as_deref());
        let body = success(&[], &[], |out| {
            out.push(b'{');
            for (i, (family, entries)) in found.iter().take(limit).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json::string(out, family);
                out.push(b':');
                // The newest description first.
                json::list(out, entries.iter().rev().take(per_metric), entry);
            }
            out.push(b'}');
        });
        Encoded::new(body, gzip)
    });
    Ok(encoded.await?.into_reply())
}

/// 0 is no limit.
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

/// `/api/v1/query_exemplars?query=…&start=…&end=…`: the exemplars of every series that a
/// selector of the query names.
///
/// # Errors
/// 400 for a text that is not a query, and for bad times.
pub async fn exemplars(call: Call) -> Result<Reply, ApiError> {
    let range = call.params.range()?;
    let expr = syntax::parse(super::prometheus::text(&call)?)?;
    let selectors: Vec<_> = syntax::selectors(&expr).into_iter().map(<[_]>::to_vec).collect();
    let database = call.database()?;
    let gzip = call.accepts_gzip();
    let encoded = storage::blocking(move || {
        let found = database.exemplars(&selectors, range);
        Encoded::new(success(&[], &[], |out| json::list(out, &found, series)), gzip)
    });
    Ok(encoded.await?.into_reply())
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
        json::time(out, exemplar.timestamp.div_euclid(1_000_000));
        out.push(b'}');
    });
    out.push(b'}');
}
