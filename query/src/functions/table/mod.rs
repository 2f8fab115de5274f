//! The entries of the function table, one file for each family.

use super::{Family, Function, FunctionId, NameRule, Origin, ValueType};

mod change;
mod convert;
mod histogram;
mod label;
mod math;
mod over_time;
mod time;
mod trigonometry;
mod whole;

/// All families.
pub(super) static FAMILIES: [&[Function]; 9] = [
    change::FUNCTIONS,
    convert::FUNCTIONS,
    histogram::FUNCTIONS,
    label::FUNCTIONS,
    math::FUNCTIONS,
    over_time::FUNCTIONS,
    time::FUNCTIONS,
    trigonometry::FUNCTIONS,
    whole::FUNCTIONS,
];

const SCALAR: ValueType = ValueType::Scalar;
const VECTOR: ValueType = ValueType::InstantVector;
const RANGE: ValueType = ValueType::RangeVector;
const STRING: ValueType = ValueType::String;

/// The help of an entry: signature, sentences, example.
struct Help(&'static str, &'static str, &'static str);

/// An entry with fixed arguments whose result is an instant vector without the name.
const fn entry(
    family: Family,
    id: FunctionId,
    name: &'static str,
    args: &'static [ValueType],
    help: Help,
) -> Function {
    let Help(signature, doc, example) = help;
    Function {
        id,
        name,
        args,
        required: args.len(),
        variadic: false,
        has_tail: false,
        repeated: 1,
        args_max: args.len(),
        returns: VECTOR,
        name_rule: NameRule::Drop,
        source: Origin::PromQl,
        family,
        signature,
        doc,
        example,
    }
}

impl Function {
    /// The last argument may be left out.
    const fn last_optional(self) -> Function {
        Function { required: self.args.len() - 1, ..self }
    }

    /// The last argument may be repeated, up to `args_max` arguments in all.
    const fn last_repeated(self, args_max: usize) -> Function {
        Function { variadic: true, args_max, ..self }
    }

    /// The argument before the last may be repeated.
    const fn middle_repeated(self) -> Function {
        Function { variadic: true, has_tail: true, args_max: usize::MAX, ..self }
    }

    /// The last two arguments may be repeated, as a pair.
    const fn last_two_repeated(self) -> Function {
        Function { variadic: true, args_max: usize::MAX, repeated: 2, ..self }
    }

    /// The result is a scalar.
    const fn scalar(self) -> Function {
        Function { returns: SCALAR, ..self }
    }

    /// An extension that MetricsQL has too.
    const fn metricsql(self) -> Function {
        Function { source: Origin::MetricsQl, ..self }
    }

    /// An extension of ours.
    const fn ours(self) -> Function {
        Function { source: Origin::Barograph, ..self }
    }

    /// The metric name stays.
    const fn keeps_name(self) -> Function {
        Function { name_rule: NameRule::Keep, ..self }
    }
}
