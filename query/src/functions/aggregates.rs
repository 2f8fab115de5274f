//! The table of aggregation operators: names, parameters, help.

use super::{Origin, ValueType};

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
    Quantiles,
    /// `topk` of whole series, ranked by a statistic.
    TopkBy(Statistic),
    /// `bottomk` of whole series.
    BottomkBy(Statistic),
}

/// The statistic by which whole series are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say which statistic")]
pub enum Statistic {
    Avg,
    Last,
    Max,
    Median,
    Min,
}

/// One entry of the table.
#[derive(Debug, Clone, Copy)]
pub struct AggregateInfo {
    /// The operator.
    pub op: AggregateOp,
    /// The name in PromQL, in lower case; any case is accepted.
    pub name: &'static str,
    /// The type of the parameter before the vector, if there is one.
    pub param: Option<ValueType>,
    /// The type of the further parameters, at least one of which is required.
    pub more: Option<ValueType>,
    /// Where the definition comes from.
    pub source: Origin,
    /// A description in one or two sentences.
    pub doc: &'static str,
    /// An example query.
    pub example: &'static str,
}

const fn plain(
    op: AggregateOp,
    name: &'static str,
    doc: &'static str,
    example: &'static str,
) -> AggregateInfo {
    AggregateInfo { op, name, param: None, more: None, source: Origin::PromQl, doc, example }
}

const fn with(
    op: AggregateOp,
    name: &'static str,
    param: ValueType,
    doc: &'static str,
    example: &'static str,
) -> AggregateInfo {
    AggregateInfo { op, name, param: Some(param), more: None, source: Origin::PromQl, doc, example }
}

/// An operator that selects whole series.
const fn whole(
    op: AggregateOp,
    name: &'static str,
    doc: &'static str,
    example: &'static str,
) -> AggregateInfo {
    let param = Some(ValueType::Scalar);
    AggregateInfo { op, name, param, more: None, source: Origin::MetricsQl, doc, example }
}

static ALL: [AggregateInfo; 25] = [
    plain(
        AggregateOp::Avg,
        "avg",
        "The arithmetic mean of each group, with compensated summation.",
        "avg by (instance) (http_requests_total)",
    ),
    with(
        AggregateOp::Bottomk,
        "bottomk",
        ValueType::Scalar,
        "The k smallest elements of each group, with all their labels; NaN counts as the largest.",
        "bottomk(1, node_filesystem_avail_bytes)",
    ),
    whole(
        AggregateOp::BottomkBy(Statistic::Avg),
        "bottomk_avg",
        "The k series of each group whose mean over the whole query is smallest, each with all its values: the same series at every step. NaN counts as the largest.",
        "bottomk_avg(1, node_filesystem_avail_bytes)",
    ),
    whole(
        AggregateOp::BottomkBy(Statistic::Last),
        "bottomk_last",
        "The k series of each group whose last value over the whole query is smallest, each with all its values: the same series at every step. NaN counts as the largest.",
        "bottomk_last(1, node_filesystem_avail_bytes)",
    ),
    whole(
        AggregateOp::BottomkBy(Statistic::Max),
        "bottomk_max",
        "The k series of each group whose largest value over the whole query is smallest, each with all its values: the same series at every step. NaN counts as the largest.",
        "bottomk_max(1, node_load1)",
    ),
    whole(
        AggregateOp::BottomkBy(Statistic::Median),
        "bottomk_median",
        "The k series of each group whose median over the whole query is smallest, each with all its values: the same series at every step. NaN counts as the largest.",
        "bottomk_median(1, node_load1)",
    ),
    whole(
        AggregateOp::BottomkBy(Statistic::Min),
        "bottomk_min",
        "The k series of each group whose smallest value over the whole query is smallest, each with all its values: the same series at every step. NaN counts as the largest.",
        "bottomk_min by (code) (1, http_requests_total)",
    ),
    plain(AggregateOp::Count, "count", "The number of elements of each group.", "count by (job) (up == 1)"),
    with(
        AggregateOp::CountValues,
        "count_values",
        ValueType::String,
        "The number of elements of each group that have the same value; the value becomes the label that the parameter names.",
        r#"count_values("version", build_version)"#,
    ),
    plain(
        AggregateOp::Group,
        "group",
        "The value 1 for each group, regardless of its elements.",
        "group by (job) (up)",
    ),
    with(
        AggregateOp::LimitRatio,
        "limit_ratio",
        ValueType::Scalar,
        "About the share r of all elements, selected by a hash of their labels; r and -(1 - r) select complementary parts.",
        "limit_ratio(0.5, http_requests_total)",
    ),
    with(
        AggregateOp::Limitk,
        "limitk",
        ValueType::Scalar,
        "Any k elements of each group, with all their labels; the selection is the same at every step.",
        "limitk(2, http_requests_total)",
    ),
    plain(
        AggregateOp::Max,
        "max",
        "The largest value of each group; NaN only if all values are NaN.",
        "max by (job) (http_requests_total)",
    ),
    plain(
        AggregateOp::Min,
        "min",
        "The smallest value of each group; NaN only if all values are NaN.",
        "min by (job) (http_requests_total)",
    ),
    with(
        AggregateOp::Quantile,
        "quantile",
        ValueType::Scalar,
        "The φ-quantile of each group, linear between neighbours; φ is between 0 and 1.",
        "quantile(0.9, node_load1)",
    ),
    AggregateInfo {
        more: Some(ValueType::Scalar),
        source: Origin::MetricsQl,
        ..with(
            AggregateOp::Quantiles,
            "quantiles",
            ValueType::String,
            "Several φ-quantiles of each group at once; the first parameter names the label that contains the φ of each element.",
            r#"quantiles("phi", 0.5, 0.9, node_load1)"#,
        )
    },
    plain(
        AggregateOp::Stddev,
        "stddev",
        "The population standard deviation of each group.",
        "stddev by (job) (http_requests_total)",
    ),
    plain(
        AggregateOp::Stdvar,
        "stdvar",
        "The population variance of each group.",
        "stdvar by (job) (http_requests_total)",
    ),
    plain(
        AggregateOp::Sum,
        "sum",
        "The sum of each group, with compensated summation.",
        "sum by (code) (rate(http_requests_total[5m]))",
    ),
    with(
        AggregateOp::Topk,
        "topk",
        ValueType::Scalar,
        "The k largest elements of each group, with all their labels; NaN counts as the smallest.",
        "topk(2, rate(http_requests_total[5m]))",
    ),
    whole(
        AggregateOp::TopkBy(Statistic::Avg),
        "topk_avg",
        "The k series of each group whose mean over the whole query is largest, each with all its values: the same series at every step. NaN counts as the smallest.",
        "topk_avg(2, rate(http_requests_total[5m]))",
    ),
    whole(
        AggregateOp::TopkBy(Statistic::Last),
        "topk_last",
        "The k series of each group whose last value over the whole query is largest, each with all its values: the same series at every step. NaN counts as the smallest.",
        "topk_last(1, node_load1)",
    ),
    whole(
        AggregateOp::TopkBy(Statistic::Max),
        "topk_max",
        "The k series of each group whose largest value over the whole query is largest, each with all its values: the same series at every step. NaN counts as the smallest.",
        "topk_max by (job) (1, http_requests_total)",
    ),
    whole(
        AggregateOp::TopkBy(Statistic::Median),
        "topk_median",
        "The k series of each group whose median over the whole query is largest, each with all its values: the same series at every step. NaN counts as the smallest.",
        "topk_median(1, node_load1)",
    ),
    whole(
        AggregateOp::TopkBy(Statistic::Min),
        "topk_min",
        "The k series of each group whose smallest value over the whole query is largest, each with all its values: the same series at every step. NaN counts as the smallest.",
        "topk_min(1, node_load1)",
    ),
];

/// Every aggregation operator, sorted by name.
pub fn all() -> &'static [AggregateInfo] {
    &ALL
}

/// The operator called `name`, in any case.
pub fn find(name: &str) -> Option<&'static AggregateInfo> {
    ALL.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// The entry of an operator.
pub fn of(op: AggregateOp) -> &'static AggregateInfo {
    ALL.iter().find(|entry| entry.op == op).expect("every operator has an entry")
}
