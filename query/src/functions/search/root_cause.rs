//! `root_cause`: which series were disturbed before a target, and how much like it.

use barograph_analytics::compare::incident::{self, Incident};

use super::correlation::lag;
use super::ranking::best;
use super::{Search, note_left_out};
use crate::error::QueryError;
use crate::functions::arguments::{Arguments, Score};
use crate::series::Value;

/// `root_cause`
pub(crate) fn root_cause(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let topk = args.named().number("topk", 20.0) as usize;
    let Some(search) = Search::begin(args)? else { return Ok(Value::Vector(Vec::new())) };
    let prepared = search.prepare(args, incident::bytes, Incident::of)?;
    let scored = search.compare(args, &prepared, incident::bytes, |prepared, values, scratch, check| {
        let found = prepared.of.suspect(values, scratch, check)?;
        Ok(Score {
            // Without a disturbance it explains nothing.
            value: if found.score > 0.0 { found.score } else { f64::NAN },
            then: found.r.abs(),
            lag: found.lag,
            p: f64::NAN,
            r: found.r,
            lead: found.lead,
            deviations: found.disturbance.deviations,
        })
    })?;
    note_left_out(args, 1, &scored)?;
    best(args, scored, topk, |rank, step, score| {
        let prepared = prepared[step].as_ref();
        let begins = match score.lead {
            0 => "begins together".to_owned(),
            1.. => format!("begins {} earlier", lag(prepared, score.lead)),
            _ => format!("begins {} later", lag(prepared, -score.lead)),
        };
        let direction = if score.deviations < 0.0 { "down" } else { "up" };
        let size = score.deviations.abs();
        let size = if size < 1000.0 { format!("{size:.1}") } else { "over 1000".to_owned() };
        let reason = format!("{begins}, {size} deviations {direction}, correlation {:.2}", score.r);
        vec![("rank", rank.to_string()), ("lag", lag(prepared, score.lag.into())), ("reason", reason)]
    })
}
