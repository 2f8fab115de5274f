//! The ends of windows.

/// How a selector treats the ends of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// As stored.
    #[default]
    Plain,
    /// `anchored`
    Anchored,
    /// `smoothed`
    Smoothed,
}

impl Edges {
    /// The keyword that selects them; empty for plain ones.
    pub fn as_str(self) -> &'static str {
        match self {
            Edges::Plain => "",
            Edges::Anchored => "anchored",
            Edges::Smoothed => "smoothed",
        }
    }
}
