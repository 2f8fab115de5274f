//! Finds the fields of a line among the known fields of its key.
//!
//! Most lines have few fields, and comparing their names is then cheaper than hashing them.

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

/// Up to this many fields are compared one by one; more are found by hash.
pub(in crate::engine) const FIELDS_FEW: usize = 32;

/// The index of each field in a group.
pub(in crate::engine) fn by_name(fields: &[Box<[u8]>]) -> HashMap<&[u8], usize, RandomState> {
    fields.iter().enumerate().map(|(place, field)| (&**field, place)).collect()
}

/// The fields that are not in `known`, without duplicates.
pub(in crate::engine) fn new_among<'l>(
    known: &[Box<[u8]>],
    fields: impl Iterator<Item = &'l [u8]>,
) -> Vec<&'l [u8]> {
    let mut new: Vec<&[u8]> = Vec::new();
    let mut names: Option<HashSet<&[u8], RandomState>> = None;
    for field in fields {
        let is_new = if known.len() + new.len() <= FIELDS_FEW {
            !known.iter().any(|name| **name == *field) && !new.contains(&field)
        } else {
            let all = || known.iter().map(|name| &**name).chain(new.iter().copied()).collect();
            names.get_or_insert_with(all).insert(field)
        };
        if is_new {
            new.push(field);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_field_is_found_once_among_few_and_among_many() {
        for count in [3, FIELDS_FEW, FIELDS_FEW + 1, 3 * FIELDS_FEW] {
            let names: Vec<Vec<u8>> = (0..count).map(|n| format!("f{n}").into_bytes()).collect();
            let known: Vec<Box<[u8]>> = names.iter().step_by(2).map(|name| name.as_slice().into()).collect();
            let fields = names.iter().chain(&names).map(Vec::as_slice);
            let new: Vec<&[u8]> = names.iter().skip(1).step_by(2).map(Vec::as_slice).collect();
            assert_eq!(new_among(&known, fields.clone()), new, "{count} fields, every other one known");
            assert_eq!(new_among(&[], fields).len(), count, "{count} fields, none known");
        }
    }
}
