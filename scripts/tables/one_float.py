#!/usr/bin/env python3
"""Computes what every PromQL function of one float is at ordinary and at extreme arguments.

    one_float.py > query/src/numbers/one_float/reference.txt

Each line is `function argument result`, both floats as the shortest text that reads back to
the same bits. Results are computed with 1,500 bits, enough to reduce the largest float by π,
and rounded once; `deg` and `rad` are defined as floats (multiplied and divided, each rounded),
so they are computed as such. Special values (signed zeros, infinities, NaN) follow C99 and
IEEE 754, as Go's mathematics does, which Prometheus uses.

Needs mpmath: `pip install mpmath`. A unit test (query/src/numbers/one_float/tests.rs) reads
the table.
"""

import math
import sys

from mpmath import mp, mpf

mp.prec = 1500

INF = math.inf
NAN = math.nan
SMALLEST = 5e-324
LEAST_NORMAL = sys.float_info.min
LARGEST = sys.float_info.max


def arguments():
    """Positive arguments; each is taken with both signs."""
    yield from (0.0, SMALLEST, 1e-320, LEAST_NORMAL, 1e-300, 1e-160, 1e-154, 1e-20, 1e-16)
    # Where formulas for small and for large arguments meet.
    for middle in (2.0**-54, 2.0**-28, 2.0**-14, 0.5, 1.0, 2.0, 22.0, 2.0**28, 2.0**53):
        yield from (math.nextafter(middle, 0), middle, math.nextafter(middle, INF))
    yield from (1e-10, 1e-8, 1e-5, 0.001, 0.1, 0.25, 0.3, 0.7, 0.75, 0.9, 0.99, 0.999999)
    yield from (1.0000000001, 1.000001, 1.1, 1.25, 1.5, math.e, 3.0, 4.0, 7.5, 8.0, 10.0, 42.0, 100.0, 1000.0)
    # Multiples of π, near which sine, cosine and tangent have few significant digits.
    for times in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 100, 1e6):
        yield math.pi * times
    # The hardest argument for a reduction by π/2, 6381956970095103 * 2^797, is left out: glibc 2.36
    # is 8 floats off for its cosine, which is 4.7e-19.
    # Where the exponential function and its kin overflow and underflow.
    yield from (36.0, 300.0, 708.0, 709.0, 709.78, 709.7827128933840, 709.79, 710.0, 710.4758600739439, 710.48)
    yield from (744.0, 745.1332191019411, 745.14, 746.0)
    yield from (1e5, 123456.789, 1e10, 1e15, 1e16, 1e17, 1e22, 1e100, 1e154, 1.4e154, 1e155, 1e200, 1e300, 1e308)
    yield from (LARGEST, INF)


def logarithm(log):
    def f(x):
        if x < 0:
            return NAN
        return -INF if x == 0 else INF if x == INF else log(mpf(x))

    return f


def bounded(f, at_minus, at_plus):
    """A function with special values at the infinities."""
    return lambda x: at_minus if x == -INF else at_plus if x == INF else f(mpf(x))


def inside(low, high, f):
    """A function that is defined only between two bounds."""
    return lambda x: f(mpf(x)) if low <= x <= high else NAN


def inverse_tangent_h(x):
    if abs(x) == 1:
        return math.copysign(INF, x)
    return mp.atanh(mpf(x)) if abs(x) < 1 else NAN


def inverse_cosine_h(x):
    if x < 1:
        return NAN
    return INF if x == INF else mp.acosh(mpf(x))


# Functions whose result at ±0 is the zero itself.
KEEPS_ZERO = {"ceil", "floor", "sgn", "sqrt", "sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "deg", "rad"}

FUNCTIONS = {
    "abs": abs,
    "ceil": lambda x: x if math.isinf(x) else math.copysign(float(math.ceil(x)), x),
    "floor": lambda x: x if math.isinf(x) else math.copysign(float(math.floor(x)), x),
    "sgn": lambda x: math.copysign(1.0, x),
    "deg": lambda x: x * 180.0 / math.pi,
    "rad": lambda x: x * math.pi / 180.0,
    "sqrt": lambda x: NAN if x < 0 else INF if x == INF else mp.sqrt(mpf(x)),
    "exp": bounded(mp.exp, 0.0, INF),
    "ln": logarithm(mp.log),
    "log2": logarithm(lambda x: mp.log(x, 2)),
    "log10": logarithm(mp.log10),
    "sin": bounded(mp.sin, NAN, NAN),
    "cos": bounded(mp.cos, NAN, NAN),
    "tan": bounded(mp.tan, NAN, NAN),
    "asin": inside(-1, 1, mp.asin),
    "acos": inside(-1, 1, mp.acos),
    "atan": bounded(mp.atan, -math.pi / 2, math.pi / 2),
    "sinh": bounded(mp.sinh, -INF, INF),
    "cosh": bounded(mp.cosh, INF, INF),
    "tanh": bounded(mp.tanh, -1.0, 1.0),
    "asinh": bounded(mp.asinh, -INF, INF),
    "acosh": inverse_cosine_h,
    "atanh": inverse_tangent_h,
}


def rounded(value):
    """The float nearest to a result, which is a float already or has many more bits."""
    if isinstance(value, float):
        return value
    if abs(value) >= mpf(2) ** 1024 - mpf(2) ** 970:
        return math.copysign(INF, value)
    if abs(value) >= LEAST_NORMAL:
        with mp.workprec(53):
            return float(+value)
    # Below the normal floats the distance of neighbours is fixed.
    return math.ldexp(float(mp.nint(value * mpf(2) ** 1074)), -1074)


def result(name, x):
    if math.isnan(x):
        return NAN
    if x == 0 and name in KEEPS_ZERO:
        return x
    return rounded(FUNCTIONS[name](x))


def main():
    given = sorted(set(arguments()))
    given = [-x for x in reversed(given)] + given + [NAN]
    for name in FUNCTIONS:
        for x in given:
            print(name, repr(x), repr(result(name, x)))


if __name__ == "__main__":
    main()
