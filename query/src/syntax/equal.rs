//! Equality of trees, regardless of positions.
//!
//! Spans are ignored, and floats are compared by their bits, so that a `NaN` literal equals itself. All other types
//! derive their equality.

use crate::syntax::ast::{Binary, Call, DurationExpr, Expr, NamedArg, NumberLiteral, VectorMatching};

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.is_duration == other.is_duration
    }
}

impl PartialEq for DurationExpr {
    fn eq(&self, other: &Self) -> bool {
        use DurationExpr::{Binary, Literal, MaxOf, MinOf, Paren, Range, Step, Unary};
        match (self, other) {
            (Literal(a, _), Literal(b, _)) => a == b,
            (Step(_), Step(_)) | (Range(_), Range(_)) => true,
            (MinOf(a, b, _), MinOf(c, d, _)) | (MaxOf(a, b, _), MaxOf(c, d, _)) => a == c && b == d,
            (Unary(op, a, _), Unary(other_op, b, _)) => op == other_op && a == b,
            (Binary(op, a, b, _), Binary(other_op, c, d, _)) => op == other_op && a == c && b == d,
            (Paren(a, _), Paren(b, _)) => a == b,
            _ => false,
        }
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
            && self.keep_names == other.keep_names
            && self.args == other.args
            && self.named == other.named
    }
}

impl PartialEq for NamedArg {
    fn eq(&self, other: &Self) -> bool {
        self.named.name == other.named.name && self.value == other.value
    }
}

impl PartialEq for VectorMatching {
    fn eq(&self, other: &Self) -> bool {
        let bits = |fill: Option<f64>| fill.map(f64::to_bits);
        self.labels == other.labels
            && self.explicit == other.explicit
            && self.cardinality == other.cardinality
            && bits(self.fill_left) == bits(other.fill_left)
            && bits(self.fill_right) == bits(other.fill_right)
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op
            && self.return_bool == other.return_bool
            && self.keep_names == other.keep_names
            && self.matching == other.matching
            && self.rhs == other.rhs
            && self.lhs == other.lhs
    }
}

#[cfg(test)]
mod tests {
    use crate::syntax::parse;

    #[test]
    fn places_do_not_count_and_values_do() {
        let same = [("sum(a)by(b)", "sum by (b) ( a )"), ("1 + NaN", "1+nan"), ("a[5m+1s]", "a [ 5m + 1s ]")];
        for (left, right) in same {
            assert_eq!(parse(left).expect(left), parse(right).expect(right));
        }
        let different = [
            ("a", "(a)"),
            ("5m", "300"),
            ("a @ 1 offset 1m", "a offset 1m @ 1"),
            ("a + b", "a + on() b"),
            ("a + fill(0) b", "a + fill(-0) b"),
            ("holt_winters(a[5m], 0.1, 0.1)", "double_exponential_smoothing(a[5m], 0.1, 0.1)"),
            ("a[5m+1s]", "a[5m-1s]"),
            ("abs(a)", "abs(a) keep_metric_names"),
            ("(a + b)", "(a + b) keep_metric_names"),
            ("a if b", "a ifnot b"),
            ("quantiles(\"q\", 0.5, a)", "quantiles(\"q\", 0.5, 0.5, a)"),
        ];
        for (left, right) in different {
            assert_ne!(parse(left).expect(left), parse(right).expect(right));
        }
    }
}
