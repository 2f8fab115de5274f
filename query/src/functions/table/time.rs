//! Dates and times, always in UTC.

use super::{Help, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Time,
        Id::DayOfMonth,
        "day_of_month",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The day of the month, 1 to 31, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::DayOfWeek,
        "day_of_week",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The day of the week, 0 (Sunday) to 6, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_week() > 0 < 6",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::DayOfYear,
        "day_of_year",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The day of the year, 1 to 366, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "day_of_year()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::DaysInMonth,
        "days_in_month",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The number of days, 28 to 31, of the month of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "days_in_month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::End,
        "end",
        &[],
        Help(
            "",
            "The end of a range query in seconds since the epoch; the evaluation time of an instant query.",
            "time() == bool end()",
        ),
    ).scalar(),
    entry(
        Family::Time,
        Id::Hour,
        "hour",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The hour of the day, 0 to 23, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "hour()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::Minute,
        "minute",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The minute of the hour, 0 to 59, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "minute()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::Month,
        "month",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The month of the year, 1 to 12, of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "month()",
        ),
    ).last_optional(),
    entry(
        Family::Time,
        Id::Range,
        "range",
        &[],
        Help(
            "",
            "The length of a range query in seconds; 0 in an instant query. It may stand inside `[ ]` and after `offset` too.",
            "increase(http_requests_total[range()])",
        ),
    ).scalar(),
    entry(
        Family::Time,
        Id::Start,
        "start",
        &[],
        Help(
            "",
            "The start of a range query in seconds since the epoch; the evaluation time of an instant query.",
            "time() - start()",
        ),
    ).scalar(),
    entry(
        Family::Time,
        Id::StartTimestamp,
        "start_timestamp",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The start time that each selected sample carries, in seconds since the epoch. Only for a selector itself.",
            "start_timestamp(http_requests_total)",
        ),
    ),
    entry(
        Family::Time,
        Id::Step,
        "step",
        &[],
        Help(
            "",
            "The step of a range query in seconds; 0 in an instant query. It may stand inside `[ ]` and after `offset` too.",
            "rate(http_requests_total[step()])",
        ),
    ).scalar(),
    entry(
        Family::Time,
        Id::Time,
        "time",
        &[],
        Help(
            "",
            "The evaluation time in seconds since the epoch.",
            "time() - process_start_time_seconds",
        ),
    ).scalar(),
    entry(
        Family::Time,
        Id::Timestamp,
        "timestamp",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The time of each element in seconds since the epoch: of the sample itself for a selector, else the evaluation time.",
            "time() - timestamp(up)",
        ),
    ),
    entry(
        Family::Time,
        Id::Year,
        "year",
        &[VECTOR],
        Help(
            "v instant-vector?",
            "The year of each element taken as seconds since the epoch; of the evaluation time without an argument.",
            "year()",
        ),
    ).last_optional(),
];
