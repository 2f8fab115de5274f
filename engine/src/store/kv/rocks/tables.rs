//! The tables that RocksDB may rewrite together: a table includes those that overlap it, and these include others.

use crate::store::kv::KeyRange;

/// The properties of a table that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Whether it is in level 0, where tables overlap. Those of each other level do not overlap each other.
    pub is_upper: bool,
    /// Its first and last keys.
    pub keys: KeyRange,
}

/// The tables of a family.
pub(super) struct Tables {
    /// Ascending by their first keys.
    tables: Vec<Placed>,
    /// For each table, the largest last key of it and its predecessors.
    reach: Vec<Vec<u8>>,
}

impl Tables {
    pub(super) fn new(mut tables: Vec<Placed>) -> Self {
        tables.sort_unstable_by(|a, b| a.keys.cmp(&b.keys));
        let mut reach: Vec<Vec<u8>> = Vec::with_capacity(tables.len());
        for Placed { keys: (_, last), .. } in &tables {
            reach.push(reach.last().map_or(last, |before| before.max(last)).clone());
        }
        Tables { tables, reach }
    }

    /// Whether all keys of some table may be in a range.
    pub(super) fn any_inside(&self, (start, end): &KeyRange) -> bool {
        let from = self.tables.partition_point(|table| table.keys.0 < *start);
        let within = self.tables[from..].iter().take_while(|table| table.keys.0 < *end);
        within.into_iter().any(|table| table.keys.1 < *end)
    }

    /// Whether some table has keys before the end of `a` and keys from the start of `b` on; `b` comes after `a`.
    pub(super) fn any_across(&self, a: &KeyRange, b: &KeyRange) -> bool {
        let before = self.tables.partition_point(|table| table.keys.0 < a.1);
        before.checked_sub(1).is_some_and(|last| self.reach[last] >= b.0)
    }

    /// Groups of tables: no table overlaps two of them.
    fn groups(self) -> Vec<Vec<Placed>> {
        let mut groups: Vec<Vec<Placed>> = Vec::new();
        let mut reach: Option<Vec<u8>> = None;
        for (table, reached) in self.tables.into_iter().zip(self.reach) {
            match groups.last_mut().filter(|_| reach.as_ref().is_some_and(|reach| table.keys.0 <= *reach)) {
                Some(group) => group.push(table),
                None => groups.push(vec![table]),
            }
            reach = Some(reached);
        }
        groups
    }

    /// The tables that removing all keys of `ranges` may rewrite. Except for those of level 0, tables inside a range
    /// are removed first, as a whole.
    pub(super) fn rewritten_for(self, ranges: &[KeyRange]) -> Vec<KeyRange> {
        let is_removed = |table: &Placed| {
            let (first, last) = &table.keys;
            !table.is_upper && ranges.iter().any(|(start, end)| start <= first && last < end)
        };
        let is_touched = |table: &Placed| {
            let (first, last) = &table.keys;
            ranges.iter().any(|(start, end)| first <= end && start <= last)
        };
        let left = Tables::new(self.tables.into_iter().filter(|table| !is_removed(table)).collect());
        let touched = left.groups().into_iter().filter(|group| group.iter().any(is_touched));
        touched.flatten().map(|table| table.keys).collect()
    }

    /// The tables that overlap tables of level 0, and those of level 0; none if there are fewer than `upper_min` of
    /// these.
    pub(super) fn unsettled(self, upper_min: usize) -> Vec<KeyRange> {
        if self.tables.iter().filter(|table| table.is_upper).count() < upper_min {
            return Vec::new();
        }
        let is_unsettled = |group: &Vec<Placed>| group.len() > 1 && group.iter().any(|table| table.is_upper);
        self.groups().into_iter().filter(is_unsettled).flatten().map(|table| table.keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(is_upper: bool, first: u8, last: u8) -> Placed {
        Placed { is_upper, keys: (vec![first], vec![last]) }
    }

    fn rewritten(tables: &[Placed], ranges: &[(u8, u8)]) -> Vec<(u8, u8)> {
        let ranges: Vec<KeyRange> = ranges.iter().map(|(a, b)| (vec![*a], vec![*b])).collect();
        let found = Tables::new(tables.to_vec()).rewritten_for(&ranges);
        found.into_iter().map(|(first, last)| (first[0], last[0])).collect()
    }

    #[test]
    fn a_table_takes_along_those_that_overlap_it() {
        let chain = [table(false, 0, 10), table(true, 9, 20), table(true, 19, 30), table(false, 40, 50)];
        assert_eq!(rewritten(&chain, &[(2, 3)]), [(0, 10), (9, 20), (19, 30)]);
        assert_eq!(rewritten(&chain, &[(25, 26)]), [(0, 10), (9, 20), (19, 30)]);
        assert_eq!(rewritten(&chain, &[(45, 46)]), [(40, 50)]);
        assert_eq!(rewritten(&chain, &[(31, 39)]), []);
        // A table that spans others reaches those after them.
        let wide = [table(true, 0, 100), table(false, 1, 2), table(false, 50, 60), table(false, 101, 102)];
        assert_eq!(rewritten(&wide, &[(1, 2)]), [(0, 100), (1, 2), (50, 60)]);
    }

    #[test]
    fn a_table_inside_a_range_is_removed_unless_it_is_in_level_0() {
        let inside = |is_upper| [table(is_upper, 10, 20), table(false, 15, 30)];
        assert_eq!(rewritten(&inside(false)[..1], &[(5, 25)]), []);
        assert_eq!(rewritten(&inside(true)[..1], &[(5, 25)]), [(10, 20)]);
        assert_eq!(rewritten(&inside(true), &[(5, 21)]), [(10, 20), (15, 30)]);
        assert_eq!(rewritten(&inside(false)[..1], &[(5, 15), (15, 25)]), [(10, 20)], "in neither");
    }

    #[test]
    fn only_groups_with_tables_of_level_0_are_settled() {
        let tables = [
            table(true, 0, 10),
            table(false, 5, 6),
            table(true, 12, 13),
            table(false, 20, 30),
            table(true, 40, 45),
            table(true, 42, 50),
        ];
        let unsettled = |min| Tables::new(tables.to_vec()).unsettled(min);
        let expected = [(0, 10), (5, 6), (40, 45), (42, 50)].map(|(a, b)| (vec![a], vec![b]));
        assert_eq!(unsettled(4), expected);
        assert_eq!(unsettled(5), []);
    }
}
