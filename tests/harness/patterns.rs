//! Random regular expressions, and the values they match by definition.
//!
//! A pattern is made as a text, as an equivalent text for the `regex` crate, and as a tree. The tree is matched in the
//! plainest way: for each part, it computes where the part can end, given where it can begin. It shares no code with
//! the implementation under test, not even the parser.

use super::choices::Choices;

/// Letters with case variants, including `k` and `s`, which have variants outside ASCII.
const CASES: &[&str] = &["aA", "bB", "cC", "xX", "zZ", "kK\u{212a}", "sS\u{17f}", "éÉ", "σςΣ", "ßẞ"];

/// A pattern.
pub struct Made {
    /// In Go's syntax.
    pub text: String,
    /// In the syntax of the `regex` crate, with `.` matching newlines.
    pub reference: String,
    pub tree: Tree,
}

/// A pattern as a tree, with flags resolved. Letters are indexes into the alphabet, and sets of letters are bit sets.
pub enum Tree {
    Letter(u32),
    Start,
    End,
    StartLine,
    EndLine,
    WordBoundary(bool),
    Concat(Vec<Tree>),
    Alternate(Vec<Tree>),
    Repeat { inner: Box<Tree>, min: u32, max: Option<u32> },
}

impl Tree {
    /// Where the tree can end in `value` (letters of `alphabet`), given all places where it can begin. Both are bit
    /// sets from bit 0 on.
    pub fn ends(&self, starts: u32, value: &[u8], alphabet: &[char]) -> u32 {
        if starts == 0 {
            return 0;
        }
        let end = 1 << value.len();
        let letter = |place: usize| value.get(place).map(|&letter| alphabet[usize::from(letter)]);
        let keep = |holds: &dyn Fn(usize) -> bool| {
            (0..=value.len())
                .filter(|&place| starts >> place & 1 == 1 && holds(place))
                .fold(0, |all, place| all | 1 << place)
        };
        match self {
            Tree::Letter(set) => {
                let is_in = |place: usize| value.get(place).is_some_and(|letter| set >> letter & 1 == 1);
                keep(&is_in) << 1
            }
            Tree::Start => starts & 1,
            Tree::End => starts & end,
            Tree::StartLine => keep(&|place| place == 0 || letter(place - 1) == Some('\n')),
            Tree::EndLine => keep(&|place| place == value.len() || letter(place) == Some('\n')),
            Tree::WordBoundary(wanted) => {
                let is_word = |place| letter(place).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                keep(&|place| ((place > 0 && is_word(place - 1)) != is_word(place)) == *wanted)
            }
            Tree::Concat(parts) => {
                parts.iter().fold(starts, |starts, part| part.ends(starts, value, alphabet))
            }
            Tree::Alternate(parts) => {
                parts.iter().fold(0, |ends, part| ends | part.ends(starts, value, alphabet))
            }
            Tree::Repeat { inner, min, max } => {
                let mut ends = (0..*min).fold(starts, |starts, _| inner.ends(starts, value, alphabet));
                let (mut last, mut left) = (ends, max.map(|max| max - min));
                // Without an upper bound, repeats until no place is added.
                while left != Some(0) {
                    last = inner.ends(last, value, alphabet);
                    let before = ends;
                    ends |= last;
                    if left.is_none() && ends == before {
                        break;
                    }
                    if left.is_none() {
                        last = ends;
                    }
                    left = left.map(|left| left - 1);
                }
                ends
            }
        }
    }
}

/// The flags that are set.
#[derive(Clone, Copy)]
struct Flags {
    any_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

struct Maker<'a, 'c> {
    choices: &'a mut Choices<'c>,
    alphabet: &'a [char],
    flags: Flags,
    names: u32,
    /// The number of parts that may still be made.
    left: u32,
    text: String,
    reference: String,
}

/// Makes a pattern over some letters of `alphabet`.
pub fn make(choices: &mut Choices<'_>, alphabet: &[char]) -> Made {
    let flags = Flags { any_case: false, multi_line: false, dot_newline: true };
    let (text, reference) = (String::new(), String::new());
    let mut maker = Maker { choices, alphabet, flags, names: 0, left: 24, text, reference };
    let tree = maker.alternation(0);
    Made { text: maker.text, reference: maker.reference, tree }
}

impl Maker<'_, '_> {
    fn write(&mut self, both: &str) {
        self.text.push_str(both);
        self.reference.push_str(both);
    }

    fn alternation(&mut self, depth: u32) -> Tree {
        let count = self.choices.of(&[1, 1, 1, 1, 2, 2, 3, 4]);
        let mut branches = Vec::new();
        for branch in 0..count {
            if branch > 0 {
                self.write("|");
            }
            branches.push(self.concatenation(depth));
        }
        Tree::Alternate(branches)
    }

    fn concatenation(&mut self, depth: u32) -> Tree {
        let count = self.choices.of(&[0, 1, 1, 2, 2, 3, 3, 4]);
        Tree::Concat((0..count).map(|_| self.part(depth)).collect())
    }

    /// A part with its repetition.
    fn part(&mut self, depth: u32) -> Tree {
        const TIMES: &[(&str, u32, Option<u32>)] = &[
            ("*", 0, None),
            ("+", 1, None),
            ("?", 0, Some(1)),
            ("{0}", 0, Some(0)),
            ("{0,0}", 0, Some(0)),
            ("{1}", 1, Some(1)),
            ("{2}", 2, Some(2)),
            ("{0,1}", 0, Some(1)),
            ("{0,2}", 0, Some(2)),
            ("{1,3}", 1, Some(3)),
            ("{0,}", 0, None),
            ("{1,}", 1, None),
            ("{2,}", 2, None),
        ];
        if self.choices.next().is_multiple_of(16) {
            self.set_flags();
        }
        let inner = self.atom(depth);
        if self.choices.next() % 5 > 1 {
            return inner;
        }
        let (written, min, max) = self.choices.of(TIMES);
        self.write(written);
        if self.choices.next().is_multiple_of(6) {
            self.write("?");
        }
        Tree::Repeat { inner: Box::new(inner), min, max }
    }

    /// `(?i)`, for the rest of the group.
    fn set_flags(&mut self) {
        let (written, flags) = self.some_flags();
        self.flags = flags;
        self.write(&format!("(?{written})"));
    }

    fn some_flags(&mut self) -> (&'static str, Flags) {
        let written = self.choices.of(&["i", "m", "s", "-s", "-i", "im", "U", "i-s", "-m"]);
        let (on, off) = written.split_once('-').unwrap_or((written, ""));
        let set = |flag, before| (before || on.contains(flag)) && !off.contains(flag);
        let Flags { any_case, multi_line, dot_newline } = self.flags;
        let flags = Flags {
            any_case: set('i', any_case),
            multi_line: set('m', multi_line),
            dot_newline: set('s', dot_newline),
        };
        (written, flags)
    }

    /// An operand of a repetition.
    fn atom(&mut self, depth: u32) -> Tree {
        self.left = self.left.saturating_sub(1);
        let kinds = if depth < 4 && self.left > 0 { 20 } else { 14 };
        match self.choices.next() % kinds {
            0..=5 => self.letter(),
            6..=8 => {
                self.write(".");
                Tree::Letter(self.letters(|letter| self.flags.dot_newline || letter != '\n'))
            }
            9 => {
                self.write("^");
                if self.flags.multi_line { Tree::StartLine } else { Tree::Start }
            }
            10 => {
                self.write("$");
                if self.flags.multi_line { Tree::EndLine } else { Tree::End }
            }
            11 => self.look(),
            12 | 13 => self.class(),
            _ => self.group(depth),
        }
    }

    fn look(&mut self) -> Tree {
        match self.choices.next() % 4 {
            0 => {
                self.write("\\A");
                Tree::Start
            }
            1 => {
                self.write("\\z");
                Tree::End
            }
            which => {
                let (go, reference) = if which == 2 { ("\\b", "(?-u:\\b)") } else { ("\\B", "(?-u:\\B)") };
                self.text.push_str(go);
                self.reference.push_str(reference);
                Tree::WordBoundary(which == 2)
            }
        }
    }

    fn group(&mut self, depth: u32) -> Tree {
        let outside = self.flags;
        match self.choices.next() % 8 {
            0..=3 => self.write("(?:"),
            4 | 5 => self.write("("),
            6 => {
                self.names += 1;
                self.write(&format!("(?P<n{}>", self.names));
            }
            _ => {
                let (written, flags) = self.some_flags();
                self.flags = flags;
                self.write(&format!("(?{written}:"));
            }
        }
        let inner = self.alternation(depth + 1);
        self.write(")");
        self.flags = outside;
        inner
    }

    /// The letters of the alphabet for which `holds` returns true.
    fn letters(&self, holds: impl Fn(char) -> bool) -> u32 {
        let all = self.alphabet.iter().enumerate().filter(|(_, letter)| holds(**letter));
        all.fold(0, |set, (place, _)| set | 1 << place)
    }

    /// The letters that are in `holds`, or of which a case variant is.
    fn folded(&self, holds: impl Fn(char) -> bool) -> u32 {
        self.letters(|letter| match CASES.iter().find(|same| same.contains(letter)) {
            Some(same) if self.flags.any_case => same.chars().any(&holds),
            _ => holds(letter),
        })
    }

    fn some_letter(&mut self) -> char {
        // Rarely, a letter that no value has.
        if self.choices.next().is_multiple_of(24) { 'z' } else { self.choices.of(self.alphabet) }
    }

    fn letter(&mut self) -> Tree {
        let letter = self.some_letter();
        let (go, reference) = match (letter, self.choices.next() % 12) {
            ('\n', _) => ("\\n".to_owned(), "\\n".to_owned()),
            ('.', 0..6) => ("\\Q.\\E".to_owned(), "\\.".to_owned()),
            ('.', _) => ("\\.".to_owned(), "\\.".to_owned()),
            (_, 0) => (format!("\\x{{{:x}}}", u32::from(letter)), letter.to_string()),
            _ => (letter.to_string(), letter.to_string()),
        };
        self.text.push_str(&go);
        self.reference.push_str(&reference);
        Tree::Letter(self.folded(|other| other == letter))
    }

    fn class(&mut self) -> Tree {
        let is_negated = self.choices.next().is_multiple_of(3);
        self.write(if is_negated { "[^" } else { "[" });
        let mut set = 0;
        for _ in 0..self.choices.of(&[1, 1, 2, 2, 3]) {
            set |= self.class_item();
        }
        self.write("]");
        let all = self.letters(|_| true);
        Tree::Letter(if is_negated { all & !set } else { set })
    }

    fn class_item(&mut self) -> u32 {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let escaped = |letter: char| match letter {
            '\n' => "\\n".to_owned(),
            '-' | '.' => format!("\\{letter}"),
            _ => letter.to_string(),
        };
        match self.choices.next() % 8 {
            0 => {
                self.text.push_str("\\w");
                self.reference.push_str("0-9A-Za-z_");
                self.folded(is_word)
            }
            1 => {
                self.text.push_str("\\W");
                self.reference.push_str("[^0-9A-Za-z_]");
                self.letters(|_| true) & !self.folded(is_word)
            }
            2 => {
                self.text.push_str("[:^lower:]");
                self.reference.push_str("[^a-z]");
                self.letters(|_| true) & !self.folded(|c| c.is_ascii_lowercase())
            }
            3 | 4 => {
                let (a, b) = (self.some_letter(), self.some_letter());
                let (low, high) = (a.min(b), a.max(b));
                self.write(&format!("{}-{}", escaped(low), escaped(high)));
                // Folding asks for every variant in the range, including those that no alphabet has.
                self.folded(|c| (low..=high).contains(&c))
            }
            _ => {
                let letter = self.some_letter();
                self.write(&escaped(letter));
                self.folded(|other| other == letter)
            }
        }
    }
}
