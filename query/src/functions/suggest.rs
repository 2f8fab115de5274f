//! Suggests a name for a misspelt one.

use super::{aggregates, all};

/// Longer names are not compared, because no function has a similar name. Bytes.
const NAME_BYTES_MAX: usize = 64;

/// The function or aggregation with the most similar name, if one is similar enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    let functions = all().iter().map(|function| function.name);
    nearest_of(name, functions.chain(aggregates::all().iter().map(|aggregate| aggregate.name)))
}

/// The most similar candidate, if one is similar enough: at most one edit for each three bytes, ignoring case. An edit
/// inserts, removes or replaces a byte, or swaps two neighbours. Of equally similar candidates, one that begins with
/// `name` wins.
pub fn nearest_of<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let wanted = name.to_ascii_lowercase();
    let edits_max = wanted.len().div_ceil(3);
    candidates
        .filter(|candidate| candidate.len().abs_diff(wanted.len()) <= edits_max)
        .map(|candidate| (distance(wanted.as_bytes(), candidate.as_bytes()), candidate))
        .min_by_key(|&(edits, candidate)| (edits, !candidate.starts_with(&wanted), candidate))
        .filter(|&(edits, candidate)| edits <= edits_max && edits < candidate.len())
        .map(|(_, candidate)| candidate)
}

/// The number of edits between two short texts (optimal string alignment: no part is edited twice).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut two_above = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &byte) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &other) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(byte != other);
            let mut edits = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && byte == b[j - 1] && a[i - 1] == other {
                edits = edits.min(two_above[j - 1] + 1);
            }
            row[j + 1] = edits;
        }
        two_above = above;
        above = row;
    }
    above[b.len()]
}
