//! Finds settings by key, and suggests the most similar key for an unknown one.

use super::settings::{SETTINGS, Setting};

/// The setting with this key.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The key most similar to `wrong`, for the message about an unknown key.
pub fn nearest(wrong: &str) -> &'static str {
    let mut best = (usize::MAX, SETTINGS[0].key);
    for setting in SETTINGS {
        best = best.min((distance(wrong, setting.key), setting.key));
    }
    best.1
}

/// Edit distance (insert, delete, replace), computed row by row.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Keys are short. Longer input is cut so that the work stays small.
    for (i, x) in a.bytes().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_finds_its_neighbour() {
        assert_eq!(nearest("max_bodi"), "max_body");
        assert_eq!(nearest("listne"), "listen");
        assert_eq!(nearest("retention_days"), "retention");
    }
}
