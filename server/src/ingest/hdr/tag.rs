//! Label sets as tags of a log: `job=api;zone=a`. A tag contains no comma and no white space.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use barograph::Labels;

/// What separates names, values and fields, and what cannot be in a tag, is written as `%2C`.
fn is_plain(c: char) -> bool {
    !matches!(c, ',' | ';' | '=' | '%') && !c.is_whitespace() && !c.is_control()
}

/// The tag of a label set: `job=api;zone=a`. Empty without labels.
pub fn of(labels: &Labels) -> String {
    let mut tag = String::new();
    let put = |tag: &mut String, text: &str| {
        for c in text.chars() {
            match is_plain(c) {
                true => tag.push(c),
                false => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| _ = write!(tag, "%{byte:02X}")),
            }
        }
    };
    for (name, value) in labels.iter() {
        if !tag.is_empty() {
            tag.push(';');
        }
        put(&mut tag, name);
        tag.push('=');
        put(&mut tag, value);
    }
    tag
}

/// The labels of such a tag; `None` if it is another one.
pub fn labels(tag: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for part in tag.split(';') {
        let (name, value) = part.split_once('=')?;
        let is_new = labels.insert(plain(name).filter(|name| !name.is_empty())?, plain(value)?).is_none();
        if !is_new {
            return None;
        }
    }
    Some(labels)
}

fn plain(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'=' {
            return None;
        }
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_of_others_are_no_labels() {
        for tag in ["A", "", "a=1;b", "a=1=2", "=1", "a=1;a=2", "a=%", "a=%G1", "a=%FF"] {
            assert_eq!(labels(tag), None, "{tag}");
        }
        let labels_of = labels("a=;b=x%20y").unwrap();
        assert_eq!(
            labels_of.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), String::new()), ("b".to_owned(), "x y".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn labels_come_back(pairs in prop::collection::btree_map("[a-z,;=% é]{1,5}", "[ -~\n\té]{1,9}", 0..5)) {
            let set = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
            let tag = of(&set);
            prop_assert!(!tag.contains([',', ' ', '\n', '\t']), "{tag}");
            prop_assert_eq!(labels(&tag).unwrap_or_default(), pairs);
        }
    }
}
