//! Series that a function cannot use. They are left out, and an info says why; with `strict=true` the query fails.
//!
//! The table marks the functions for which this may happen (`Function::leaves_out`), which gives them the argument. All
//! of them report through [`LeftOut`], so that none can leave out a series in silence or disregard the argument.

use std::fmt::Display;

use super::analytics::NamedOptions;
use super::named::{Named, NamedKind};
use crate::annotations::Annotations;
use crate::error::QueryError;
use crate::span::Span;

/// The argument of every function that may leave series out.
pub(crate) static STRICT: Named = Named { name: "strict", kind: NamedKind::Flag, default: "false" };

/// Maximum number of series per argument whose reasons are listed individually.
const NOTED_MAX: usize = 10;

/// The series of one argument of a call that are left out.
pub(crate) struct LeftOut {
    function: &'static str,
    span: Span,
    strict: bool,
    count: usize,
    /// What is said about the first of them.
    listed: Vec<String>,
}

impl LeftOut {
    /// None so far, of the argument at `span`.
    pub fn of(function: &'static str, options: NamedOptions<'_>, span: Span) -> LeftOut {
        LeftOut { function, span, strict: options.flag(STRICT.name), count: 0, listed: Vec::new() }
    }

    /// Leaves out a series or several, for a reason.
    ///
    /// # Errors
    /// [`QueryError::Execution`] with the series and the reason if the call says `strict=true`.
    pub fn add(&mut self, series: &dyn Display, reason: &dyn Display) -> Result<(), QueryError> {
        self.refuse(series, reason)?;
        self.count += 1;
        if self.count <= NOTED_MAX {
            self.listed.push(format!("{} leaves out {series}: {reason}", self.function));
        }
        Ok(())
    }

    /// Fails for a reason that has a text of its own, if the call says `strict=true`.
    ///
    /// # Errors
    /// Same as [`LeftOut::add`].
    pub fn refuse(&self, series: &dyn Display, reason: &dyn Display) -> Result<(), QueryError> {
        if self.strict { Err(self.refused(series, reason)) } else { Ok(()) }
    }

    fn refused(&self, series: &dyn Display, reason: &dyn Display) -> QueryError {
        QueryError::Execution(format!("{} cannot use {series}: {reason} (strict=true)", self.function))
    }

    /// Lists them. Their number comes first if not all are listed, because an answer over HTTP has few infos.
    pub fn finish(self, annotations: &mut Annotations) {
        let LeftOut { function, span, count, listed, .. } = self;
        if count > listed.len() {
            annotations
                .info(span, format!("{function} leaves out {count} series, for reasons such as these"));
        }
        listed.into_iter().for_each(|text| annotations.info(span, text));
    }
}
