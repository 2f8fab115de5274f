//! Function calls: runs the kernel of a call according to its shape, and provides its arguments.

use barograph_engine::model::Matcher;

use super::window::{each_series, range_call};
use super::{Evaluator, select, text};
use crate::annotations::Annotations;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::analytics::NamedOptions;
use crate::functions::arguments::{Arguments, SampleField, Sampled, Score, Scored, Scorer};
use crate::functions::eval::Kernel;
use crate::functions::vectors::{elements, whole_range};
use crate::functions::window::slide::Windows;
use crate::functions::window::{Columns, WindowKernel};
use crate::functions::{Function, NameRule, ValueType};
use crate::plan::{Call, Kind, Node, Selection};
use crate::series::{Value, Vector, labels_held};
use crate::span::Span;
use crate::steps::{Shift, Steps};
use crate::syntax::ast::Edges;
use crate::usage::Footprint;

/// Evaluates a call at all steps.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    call: &Call,
    node: &Node,
    steps: Steps,
) -> Result<Value, QueryError> {
    let args = &mut CallArguments { ev, call, node, steps };
    Ok(Value::Vector(match call.kernel {
        Kernel::Call(kernel) => return kernel(args),
        Kernel::Float(kernel) => elements::floats(args, |points, _| points.map_floats(kernel))?,
        Kernel::Floats(kernel) => {
            elements::floats(args, |points, params| kernel(&mut points.floats, params))?
        }
        Kernel::Date(kernel) => elements::dates(args, kernel)?,
        Kernel::Histogram(kernel) => elements::histograms(args, kernel)?,
        Kernel::Window(kernel) => args.windows(kernel)?,
        Kernel::Windows(kernel) => range_call::labelled_columns(args.ev, call, kernel, steps)?,
        Kernel::Analytic(kernel) => range_call::analytic(args.ev, call, kernel, steps)?,
        Kernel::Range(kernel) => whole_range::floats(args, kernel)?,
        Kernel::RangePoints(kernel) => whole_range::points(args, kernel)?,
    }))
}

/// The arguments of a call during its evaluation.
struct CallArguments<'e, 'q> {
    ev: &'e mut Evaluator<'q>,
    call: &'e Call,
    /// The node of the call.
    node: &'e Node,
    steps: Steps,
}

impl<'q> Arguments<'q> for CallArguments<'_, 'q> {
    fn function(&self) -> &'static Function {
        self.call.function
    }

    fn count(&self) -> usize {
        self.call.args.len()
    }

    fn vector(&mut self, index: usize) -> Result<Vector, QueryError> {
        self.ev.vector(&self.call.args[index], self.steps)
    }

    fn scalar(&mut self, index: usize) -> Result<Vec<f64>, QueryError> {
        let arg = &self.call.args[index];
        let values = self.ev.scalar(arg, self.steps)?;
        let is_scalar = |arg: &&Node| arg.value_type() == ValueType::Scalar;
        let place = self.call.args[..index].iter().filter(is_scalar).count();
        (self.call.function.check)(&mut self.ev.annotations, arg.span, place, &values)?;
        Ok(values)
    }

    fn text(&self, index: usize) -> String {
        text(&self.call.args[index])
    }

    fn named(&self) -> NamedOptions<'_> {
        NamedOptions(&self.call.named)
    }

    fn windows(&mut self, kernel: WindowKernel) -> Result<Vector, QueryError> {
        range_call::one_column(self.ev, self.call, kernel, self.steps)
    }

    fn range(&mut self, index: usize) -> Result<Windows, QueryError> {
        each_series::windows_of(self.ev, self.call, index, self.steps)
    }

    fn samples(&mut self, index: usize, earlier_ms: i64) -> Result<Vec<Sampled>, QueryError> {
        let budget = &self.ev.ctx.budget;
        each_series::each(self.ev, self.call, index, self.steps, earlier_ms, |read| {
            let each = size_of::<i64>() + size_of::<f64>();
            let samples = read.columns.times.len();
            let held = Footprint { samples: samples as u64, bytes: (samples * each) as u64 };
            budget.hold(held + labels_held(&read.labels) + Footprint::bytes(size_of::<Sampled>()))?;
            // The buffers of the reader are counted apart and may be larger.
            let columns = Columns {
                times: read.columns.times.clone(),
                values: read.columns.values.clone(),
                ..Columns::default()
            };
            Ok(Some(Sampled { labels: read.labels, is_counter: read.is_counter, columns }))
        })
    }

    fn scores(
        &mut self,
        index: usize,
        earlier_ms: i64,
        score: &Scorer<'_>,
    ) -> Result<Vec<Scored>, QueryError> {
        let (budget, steps) = (&self.ev.ctx.budget, self.steps.count);
        each_series::each(self.ev, self.call, index, self.steps, earlier_ms, |read| {
            let each = size_of::<Scored>() + steps * size_of::<Score>();
            budget.hold(labels_held(&read.labels) + Footprint::bytes(each))?;
            let scores = score(&read.labels, read.is_counter, read.columns)?;
            Ok(Some(Scored { labels: read.labels, drop_name: read.drop_name, scores }))
        })
    }

    fn matchers(&self, index: usize) -> &[Matcher] {
        match self.call.args.get(index).map(|arg| &arg.kind) {
            Some(Kind::Instant(selection) | Kind::Range(selection)) => &selection.matchers,
            _ => &[],
        }
    }

    fn edges(&self, index: usize) -> Option<Edges> {
        match &self.call.args[index].kind {
            Kind::Instant(selection) => Some(selection.edges),
            _ => None,
        }
    }

    fn newest(&mut self, index: usize, field: SampleField) -> Result<Vector, QueryError> {
        let arg = &self.call.args[index];
        let Kind::Instant(selection) = &arg.kind else { return Ok(Vec::new()) };
        let mark = self.ev.mark();
        let vector = select::instant(self.ev.ctx, selection, self.steps, field)?;
        if let Some(mark) = mark {
            self.ev.record(arg, mark, vector.len() as u64, 0);
        }
        Ok(vector)
    }

    fn newest_beside(
        &mut self,
        index: usize,
        matchers: Vec<Matcher>,
        field: SampleField,
    ) -> Result<Vector, QueryError> {
        let unshifted = Shift { at_ms: None, offset_ms: 0 };
        let shift = self.call.args[index].first_shift().unwrap_or(unshifted);
        let edges = Edges::Plain;
        let selection =
            Selection { matchers, shift, range_ms: 0, default_window: false, edges, infer_hints: false };
        select::instant(self.ev.ctx, &selection, self.steps, field)
    }

    fn span(&self, index: usize) -> Span {
        self.call.args[index].span
    }

    fn call_span(&self) -> Span {
        self.node.span
    }

    fn drops_name(&self) -> bool {
        self.call.name_rule == NameRule::Drop
    }

    fn is_range_query(&self) -> bool {
        self.ev.is_range
    }

    fn steps(&self) -> Steps {
        self.steps
    }

    fn budget(&self) -> &'q Budget {
        &self.ev.ctx.budget
    }

    fn annotations(&mut self) -> &mut Annotations {
        &mut self.ev.annotations
    }
}
