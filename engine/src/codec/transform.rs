//! Predicts an integer from its position in a column, and restores it from the residual.
//!
//! All arithmetic is modulo 2^64 and exact over the whole range of `i64`.

use super::blocks::BlockFrame;
use super::varint::unzigzag;

/// Fraction bits of a line's slope.
pub const SLOPE_BITS: u32 = 16;

/// The prediction of an integer. The residual is its difference from the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Transform {
    /// No prediction.
    Frame = 0,
    /// The previous integer: residuals are differences.
    Delta = 1,
    /// The previous integer plus its difference: residuals are changes of the difference.
    Delta2 = 2,
    /// A straight line through the first integer. With this, a clock with jitter has residuals of the size of the
    /// jitter; differences would have 1.4 times that size, and changes of differences 2.4 times.
    Line = 3,
}

impl Transform {
    /// All transforms, simplest first.
    pub const ALL: [Transform; 4] = [Transform::Frame, Transform::Delta, Transform::Delta2, Transform::Line];

    /// The index of the first integer that has a residual.
    pub fn start(self) -> usize {
        if self == Transform::Delta2 { 2 } else { 1 }
    }

    /// The residual of `m[i]`; `i` must not be before the start.
    #[inline]
    pub fn residual(self, m: &[i64], i: usize, slope: i64) -> i64 {
        match self {
            Transform::Frame => m[i],
            Transform::Delta => m[i].wrapping_sub(m[i - 1]),
            Transform::Delta2 => m[i].wrapping_sub(m[i - 1].wrapping_mul(2)).wrapping_add(m[i - 2]),
            Transform::Line => m[i].wrapping_sub(on_line(slope, i as i64)),
        }
    }
}

#[inline]
fn on_line(slope: i64, i: i64) -> i64 {
    slope.wrapping_mul(i) >> SLOPE_BITS
}

/// Replaces integers by their residuals, from the end, so that each is read before it is replaced.
pub fn to_residuals(m: &mut [i64], transform: Transform, slope: i64) {
    match transform {
        Transform::Frame => {}
        Transform::Delta => {
            for i in (1..m.len()).rev() {
                m[i] = m[i].wrapping_sub(m[i - 1]);
            }
        }
        Transform::Delta2 => {
            for i in (2..m.len()).rev() {
                m[i] = m[i].wrapping_sub(m[i - 1].wrapping_mul(2)).wrapping_add(m[i - 2]);
            }
        }
        Transform::Line => {
            for (i, value) in m.iter_mut().enumerate() {
                *value = value.wrapping_sub(on_line(slope, i as i64));
            }
        }
    }
}

/// How a section's integers are restored from its residuals.
pub struct Rebuild {
    /// The transform.
    pub transform: Transform,
    /// The first integer.
    pub first: i64,
    /// The factor of `m`: the divisor times the caller's unit.
    pub scale: i64,
    /// As described at [`Transform::Line`] and [`Transform::Delta2`].
    pub slope: i64,
}

impl Rebuild {
    /// Appends the integers that have no residual, out of `count`, which is at least one. Returns the state and the
    /// number of residuals to come.
    pub fn begin(&self, count: usize, out: &mut Vec<i64>) -> (State, usize) {
        out.push(self.first);
        let mut state = State { value: self.first, step: 0, line: 0 };
        let mut left = count.saturating_sub(1);
        if self.transform == Transform::Delta2 && left > 0 {
            state.step = self.slope.wrapping_mul(self.scale);
            state.value = state.value.wrapping_add(state.step);
            out.push(state.value);
            left -= 1;
        }
        (state, left)
    }

    /// Appends the integers of the next residuals.
    pub fn append(&self, block: &[u64], frame: BlockFrame, state: &mut State, out: &mut Vec<i64>) {
        self.rebuild(Appended { block, out }, frame, state);
    }

    /// Replaces the bits of the next residuals by their integers.
    pub fn replace(&self, residuals: &mut [i64], frame: BlockFrame, state: &mut State) {
        self.rebuild(residuals, frame, state);
    }

    fn rebuild(&self, residuals: impl Residuals, frame: BlockFrame, state: &mut State) {
        let BlockFrame { origin, is_zigzag } = frame;
        let (origin, scale) = (origin.wrapping_mul(self.scale), self.scale);
        match (is_zigzag, scale) {
            (true, 1) => self.rebuild_scaled(residuals, |u| origin.wrapping_add(unzigzag(u)), state),
            (true, _) => self.rebuild_scaled(
                residuals,
                |u| origin.wrapping_add(unzigzag(u).wrapping_mul(scale)),
                state,
            ),
            (false, 1) => self.rebuild_scaled(residuals, |u| origin.wrapping_add(u as i64), state),
            (false, _) => {
                self.rebuild_scaled(residuals, |u| origin.wrapping_add((u as i64).wrapping_mul(scale)), state)
            }
        }
    }

    #[inline]
    fn rebuild_scaled(&self, residuals: impl Residuals, residual: impl Fn(u64) -> i64, state: &mut State) {
        let State { mut value, mut step, mut line } = *state;
        match self.transform {
            Transform::Frame => {
                let first = self.first;
                residuals.each(|u| first.wrapping_add(residual(u)));
            }
            Transform::Delta => residuals.each(|u| {
                value = value.wrapping_add(residual(u));
                value
            }),
            Transform::Delta2 => residuals.each(|u| {
                step = step.wrapping_add(residual(u));
                value = value.wrapping_add(step);
                value
            }),
            Transform::Line => {
                let Rebuild { first, scale, slope, .. } = *self;
                residuals.each(|u| {
                    line = line.wrapping_add(slope);
                    let expected = (line >> SLOPE_BITS).wrapping_mul(scale);
                    first.wrapping_add(expected).wrapping_add(residual(u))
                });
            }
        }
        *state = State { value, step, line };
    }
}

/// Where residuals are, and where their integers go.
trait Residuals {
    /// Makes an integer of each residual, in order.
    fn each(self, integer: impl FnMut(u64) -> i64);
}

/// Residuals of a block whose integers are appended.
struct Appended<'a> {
    block: &'a [u64],
    out: &'a mut Vec<i64>,
}

impl Residuals for Appended<'_> {
    #[inline]
    fn each(self, integer: impl FnMut(u64) -> i64) {
        self.out.extend(self.block.iter().copied().map(integer));
    }
}

/// Residuals that their integers replace.
impl Residuals for &mut [i64] {
    #[inline]
    fn each(self, mut integer: impl FnMut(u64) -> i64) {
        for place in self {
            *place = integer(*place as u64);
        }
    }
}

/// The state between two sequences of residuals.
#[derive(Clone, Copy)]
pub struct State {
    /// The last integer.
    value: i64,
    /// Its difference from the previous one.
    step: i64,
    /// Slope times its index.
    line: i64,
}
