//! The families of keys. One entry for each says how the store treats it: opening, tables, settings, figures, removal,
//! the inventory of an opening and `verify` read this table.

macro_rules! families {
    ($($(#[$doc:meta])* $family:ident { $($property:ident: $value:expr),+ $(,)? })+) => {
        /// A family of keys.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Family {
            $($(#[$doc])* $family,)+
        }

        /// One entry for each family, in the order of their discriminants.
        const TABLE: &[Entry] = &[$(Entry { family: Family::$family, $($property: $value),+ }),+];
    };
}

/// How the store treats a family.
struct Entry {
    family: Family,
    /// Its name in the store.
    name: &'static str,
    /// It arrives as tables, under the prefix of a generation. Otherwise it is committed record by record.
    is_bulk: bool,
    /// Single keys are looked for that may be absent: its tables have Bloom filters.
    has_filters: bool,
}

families! {
    /// Chunks of samples.
    Chunks { name: "chunks", is_bulk: true, has_filters: false }
    /// Series records and postings.
    Index { name: "index", is_bulk: true, has_filters: true }
    /// String fields kept as events.
    Events { name: "events", is_bulk: true, has_filters: false }
    /// The catalogue's records.
    Meta { name: "meta", is_bulk: false, has_filters: false }
}

impl Family {
    /// All families, in the order of their discriminants.
    pub const ALL: [Family; TABLE.len()] = chosen(false);
    /// The families that arrive as tables.
    pub const BULK: [Family; bulk_count()] = chosen(true);

    /// The family's name in the store.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether it arrives as tables, under the prefix of a generation.
    pub fn is_bulk(self) -> bool {
        self.entry().is_bulk
    }

    /// Whether its tables have Bloom filters.
    pub fn has_filters(self) -> bool {
        self.entry().has_filters
    }

    fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }
}

const fn bulk_count() -> usize {
    let (mut count, mut at) = (0, 0);
    while at < TABLE.len() {
        count += TABLE[at].is_bulk as usize;
        at += 1;
    }
    count
}

/// The families of the table, or those that arrive as tables.
const fn chosen<const COUNT: usize>(is_bulk_only: bool) -> [Family; COUNT] {
    let mut families = [TABLE[0].family; COUNT];
    let (mut count, mut at) = (0, 0);
    while at < TABLE.len() {
        if TABLE[at].is_bulk || !is_bulk_only {
            families[count] = TABLE[at].family;
            count += 1;
        }
        at += 1;
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_follow_the_table() {
        assert!(Family::ALL.iter().enumerate().all(|(number, family)| *family as usize == number));
        let bulk: Vec<Family> = Family::ALL.into_iter().filter(|family| family.is_bulk()).collect();
        assert_eq!(Family::BULK.to_vec(), bulk);
        // Names are on the disk.
        let stored = [Family::Chunks, Family::Index, Family::Events, Family::Meta];
        assert_eq!(stored.map(Family::name), ["chunks", "index", "events", "meta"]);
        assert_eq!(stored.map(Family::is_bulk), [true, true, true, false]);
    }
}
