//! Derives the options of line protocol from the settings and the request.

use barograph::{LineLimits, LineOptions, Precision};

use crate::config::Config;

/// The options of line protocol: the server's limits, and the precision and `db` of the request.
pub fn line_options(config: &Config, precision: Precision, db: Option<&str>) -> LineOptions {
    let extra_labels = db.map(|db| vec![("db".to_owned(), db.to_owned())]).unwrap_or_default();
    let limits = LineLimits {
        line_bytes: config.max_line,
        tags: config.max_labels,
        name_bytes: config.max_name,
        value_bytes: config.max_value,
        fields: config.max_fields,
        event_bytes: config.max_string,
    };
    LineOptions::default()
        .with_precision(precision)
        .with_extra_labels(extra_labels)
        .with_naming(config.naming)
        .with_limits(limits)
}
