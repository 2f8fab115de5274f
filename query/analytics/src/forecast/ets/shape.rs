//! The models of exponential smoothing.

/// How a trend or a season is part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    None,
    Added,
    /// A trend that fades.
    Damped,
    /// A season that is a factor.
    Multiplied,
}

/// A model: its error, trend and season.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether errors grow with the expected value.
    pub relative: bool,
    pub trend: Component,
    pub season: Component,
}

use Component::{Added, Damped, Multiplied, None as Without};

impl Shape {
    /// A level alone.
    pub const LEVEL: Shape = Shape { relative: false, trend: Without, season: Without };

    /// The models with a finite variance of the predictions: those without trends that are multiplied, and without
    /// seasons that are multiplied beside errors that are added (Hyndman and others, 2008, chapter 15).
    pub fn all() -> impl Iterator<Item = Shape> {
        let seasons = [Without, Added, Multiplied];
        let shapes = [Without, Added, Damped].into_iter().flat_map(move |trend| {
            let of = move |relative| seasons.map(|season| Shape { relative, trend, season });
            of(false).into_iter().chain(of(true))
        });
        shapes.filter(|shape| shape.relative || shape.season != Multiplied)
    }

    /// The usual name of the model: `MAdM` has relative errors, a damped trend and a season that is multiplied.
    #[cfg(test)]
    pub fn name(self) -> String {
        let letters = |component| match component {
            Without => "N",
            Added => "A",
            Damped => "Ad",
            Multiplied => "M",
        };
        let error = if self.relative { "M" } else { "A" };
        format!("{error}{}{}", letters(self.trend), letters(self.season))
    }

    /// Whether it has a trend of either kind.
    pub fn has_trend(self) -> bool {
        self.trend != Without
    }
}
