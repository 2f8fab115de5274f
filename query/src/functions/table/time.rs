//! Dates and times, always in UTC.

use super::{Help, VECTOR, call, constant, date, entry};
use crate::functions::vectors::{conversion, timestamps};
use crate::functions::{Family, Function};
use crate::numbers::dates;

const fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Time,
        "day_of_month",
        &[VECTOR],
        date(dates::day_of_month),
        Help(
            "v instant-vector?",
            "The day of the month, 1 to 31, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "day_of_week",
        &[VECTOR],
        date(dates::day_of_week),
        Help(
            "v instant-vector?",
            "The day of the week, 0 (Sunday) to 6, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_week() > 0 < 6",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "day_of_year",
        &[VECTOR],
        date(dates::day_of_year),
        Help(
            "v instant-vector?",
            "The day of the year, 1 to 366, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_year()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "days_in_month",
        &[VECTOR],
        date(dates::days_in_month),
        Help(
            "v instant-vector?",
            "The number of days, 28 to 31, of the month of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "days_in_month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "end",
        &[],
        constant(|times| seconds(times.end_ms)),
        Help(
            "",
            "The end of a range query in seconds since the epoch; the evaluation time of an instant query.",
            "time() == bool end()",
        ),
    ).scalar(),
    entry(
        Family::Time,
        "hour",
        &[VECTOR],
        date(dates::hour),
        Help(
            "v instant-vector?",
            "The hour of the day, 0 to 23, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "hour()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "minute",
        &[VECTOR],
        date(dates::minute),
        Help(
            "v instant-vector?",
            "The minute of the hour, 0 to 59, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "minute()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "month",
        &[VECTOR],
        date(dates::month),
        Help(
            "v instant-vector?",
            "The month of the year, 1 to 12, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        "range",
        &[],
        constant(|times| seconds(times.end_ms.saturating_sub(times.start_ms))),
        Help(
            "",
            "The length of a range query in seconds; 0 in an instant query. It is also allowed inside `[ ]` and after `offset`.",
            "increase(http_requests_total[range()])",
        ),
    ).scalar(),
    entry(
        Family::Time,
        "start",
        &[],
        constant(|times| seconds(times.start_ms)),
        Help(
            "",
            "The start of a range query in seconds since the epoch; the evaluation time of an instant query.",
            "time() - start()",
        ),
    ).scalar(),
    entry(
        Family::Time,
        "start_timestamp",
        &[VECTOR],
        call(timestamps::start_timestamp),
        Help(
            "v instant-vector",
            "The start time of each selected sample, in seconds since the epoch. The argument must be a selector.",
            "start_timestamp(http_requests_total)",
        ),
    ),
    entry(
        Family::Time,
        "step",
        &[],
        constant(|times| seconds(times.step_ms)),
        Help(
            "",
            "The step of a range query in seconds; 0 in an instant query. It is also allowed inside `[ ]` and after `offset`.",
            "rate(http_requests_total[step()])",
        ),
    ).scalar(),
    entry(
        Family::Time,
        "time",
        &[],
        call(conversion::time),
        Help(
            "",
            "The evaluation time in seconds since the epoch.",
            "time() - process_start_time_seconds",
        ),
    ).reads_time().scalar(),
    entry(
        Family::Time,
        "timestamp",
        &[VECTOR],
        call(timestamps::timestamp),
        Help(
            "v instant-vector",
            "The time of each element in seconds since the epoch: the time of the sample if the argument is a selector, otherwise the evaluation time.",
            "time() - timestamp(up)",
        ),
    ).reads_time(),
    entry(
        Family::Time,
        "year",
        &[VECTOR],
        date(dates::year),
        Help(
            "v instant-vector?",
            "The year of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "year()",
        ),
    ).last_optional(),
];
