//! `label_replace` and `label_join`: set a label from the values of others.

use barograph_engine::model::{CompileError, METRIC_NAME, Rewrite};

use crate::error::QueryError;
use crate::functions::arguments::{Arguments, texts};
use crate::merge::merge_equal;
use crate::series::{Value, labels_held};

/// `label_replace(v, dst, replacement, src, regex)`.
pub(crate) fn replace(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let mut vector = args.vector(0)?;
    let [dst, replacement, src, regex] = [1, 2, 3, 4].map(|i| args.text(i));
    // Dropped at the end, which releases its memory.
    let mut expressions = args.budget().expressions();
    let mut rewrite = Rewrite::within(&regex, &replacement, &mut expressions).map_err(|e| match e {
        CompileError::Stopped(stopped) => stopped.into(),
        CompileError::Memory(denied) => denied.into(),
        CompileError::Pattern(e) => QueryError::Execution(format!(
            "invalid regular expression in label_replace(): {regex}: {}",
            e.reason
        )),
        CompileError::Weight { limit, .. } => {
            QueryError::Expressions { place: "label_replace()".to_owned(), limit, message: e.to_string() }
        }
    })?;
    if dst.is_empty() {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_replace(): {dst}"
        )));
    }
    let mut pace = args.budget().pace();
    for series in &mut vector {
        pace.labels()?;
        let value = series.labels.get(&src).unwrap_or("");
        check_length("label_replace", replacement.len() + replacement.matches('$').count() * value.len())?;
        let Some(expanded) = rewrite.apply(value) else { continue };
        let mut labels = series.labels.to_builder();
        series.labels = labels.set(&dst, &expanded).build();
        args.budget().hold(labels_held(&series.labels))?;
        if dst == METRIC_NAME {
            series.drop_name = false;
        }
    }
    Ok(Value::Vector(merge_equal(args.budget(), vector)?))
}

/// Maximum length of a label value that a query may create, bytes. It is far beyond practical values, and keeps a
/// template of many groups over long values from exhausting the memory.
const VALUE_BYTES_MAX: usize = 1 << 20;

fn check_length(function: &str, bytes: usize) -> Result<(), QueryError> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(QueryError::Execution(format!(
        "{function}() would make a label value of up to {bytes} bytes, the limit is {VALUE_BYTES_MAX}: use fewer labels or groups"
    )))
}

/// `label_join(v, dst, separator, src…)`.
pub(crate) fn join(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let mut vector = args.vector(0)?;
    let dst = args.text(1);
    let separator = args.text(2);
    let sources = texts(args, 3);
    if dst.is_empty() {
        return Err(QueryError::Execution(format!("invalid destination label name in label_join(): {dst}")));
    }
    if sources.iter().any(String::is_empty) {
        return Err(QueryError::Execution("invalid source label name in label_join(): ".to_owned()));
    }
    let mut pace = args.budget().pace();
    for series in &mut vector {
        pace.labels()?;
        let values: Vec<&str> = sources.iter().map(|s| series.labels.get(s).unwrap_or("")).collect();
        let length = values.iter().map(|v| v.len() + separator.len()).sum();
        check_length("label_join", length)?;
        let joined = values.join(&separator);
        let mut labels = series.labels.to_builder();
        series.labels = labels.set(&dst, &joined).build();
        args.budget().hold(labels_held(&series.labels))?;
        if dst == METRIC_NAME {
            series.drop_name = false;
        }
    }
    Ok(Value::Vector(merge_equal(args.budget(), vector)?))
}
