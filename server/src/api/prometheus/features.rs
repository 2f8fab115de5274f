//! `/api/v1/features`: the features of this server by category, which clients query before they offer them. Functions
//! and operators come from the tables of the query language.

use std::collections::BTreeMap;

use barograph::internals::functions;
use serde_json::{Value, json};

use crate::api::call::{Call, success_value};
use crate::config::Config;
use crate::error::ApiError;
use crate::http::reply::Reply;

/// Operators that are recent enough in PromQL that clients check for them.
const OPERATORS: &[&str] = &[
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "or",
    "unless",
    "without",
    "</",
    ">/",
];

/// Parts of the language beyond functions and operators.
const LANGUAGE: &[&str] = &[
    "anchored",
    "at_modifier",
    "bool",
    "by",
    "delayed_name_removal",
    "duration_expr",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "smoothed",
    "subqueries",
    "type_and_unit_labels",
    "utf8_names",
    "without",
];

/// `/api/v1/features`
///
/// # Errors
/// 503 while there is no database.
pub async fn features(call: Call) -> Result<Reply, ApiError> {
    call.state.database()?;
    Ok(success_value(&chapters(&call.config)))
}

fn chapters(config: &Config) -> Value {
    let on = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect::<BTreeMap<_, _>>();
    let mut operators = on(OPERATORS);
    operators.extend(functions::aggregates::all().iter().map(|a| (a.name.to_owned(), true)));
    let functions: BTreeMap<&str, bool> = functions::all().iter().map(|f| (f.name, true)).collect();
    json!({
        "api": {
            "active_queries": true,
            "admin": config.enable_admin,
            "explain": true,
            "label_values_match": true,
            "lifecycle": false,
            "query_stats": true,
            "query_warnings": true,
            "remote_read": true,
            "remote_write_receiver": true,
        },
        "promql": on(LANGUAGE),
        "promql_functions": functions,
        "promql_operators": operators,
        "tsdb": { "native_histograms": true, "out_of_order_ingestion": true },
    })
}
