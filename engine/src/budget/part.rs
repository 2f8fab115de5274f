//! Tables that divide memory into parts.

/// A part of some memory: a constant fraction, what it bounds, and what happens when it is full. Code, documentation
/// and the status page all use the same tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its name in messages and metrics.
    pub name: &'static str,
    /// Its size in 64ths of the whole.
    pub parts: u64,
    /// What it bounds.
    pub bounds: &'static str,
    /// What happens when it is full.
    pub full: &'static str,
}

impl Part {
    /// The number of parts in the whole.
    pub const WHOLE: u64 = 64;

    /// Its share of `whole`, bytes.
    pub const fn of(&self, whole: u64) -> u64 {
        // In this order, nothing overflows, and at most 64 bytes are lost per part.
        whole / Self::WHOLE * self.parts
    }

    /// The part of a table with this name.
    ///
    /// # Panics
    /// There is no such part; at compile time if the name is a constant.
    pub const fn named(table: &'static [Part], name: &str) -> &'static Part {
        let mut at = 0;
        while at < table.len() {
            if is_same(table[at].name, name) {
                return &table[at];
            }
            at += 1;
        }
        panic!("no part has this name")
    }
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_name_and_never_more_than_the_whole() {
        static TABLE: &[Part] = &[
            Part { name: "few", parts: 1, bounds: "", full: "" },
            Part { name: "fewer", parts: 63, bounds: "", full: "" },
        ];
        assert_eq!(Part::named(TABLE, "fewer").parts, 63);
        for whole in [0, 1, 64, 65, 1 << 30, u64::MAX] {
            let sum: u64 = TABLE.iter().map(|part| part.of(whole)).sum();
            assert!(sum <= whole && whole - sum < Part::WHOLE, "{sum} of {whole}");
        }
    }
}
