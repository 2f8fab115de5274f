"""Rust source as the survey reads it: code without comments, quotes and tests, and the paths that it names."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
# The crates, by the folder of their sources, except crates that only test.
CRATES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("**/src"))
          if (path.parent / "Cargo.toml").exists() and not {"target", "tests", "fuzz"} & set(path.relative_to(ROOT).parts)]
QUOTES = re.compile(
    r'//[^\n]*|/\*.*?\*/|\bb?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\n]{1,9}?|[^\'\\\n])\'', re.DOTALL)


def blank(text):
    """The text with comments and quotes replaced by spaces; lines stay."""
    return QUOTES.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def end_of(code, at):
    """The offset after the bracket that closes the first one from `at`, or after a `;` before it."""
    depth = 0
    for here in range(at, len(code)):
        if code[here] in "{([":
            depth += 1
        elif code[here] in "})]":
            depth -= 1
            if depth == 0 and code[here] == "}":
                return here + 1
        elif code[here] == ";" and depth == 0:
            return here + 1
    return len(code)


class File:
    """One file. `module` is its path in its crate; a `mod.rs`, `lib.rs` or `main.rs` is its folder's."""

    def __init__(self, crate, path):
        self.crate, self.path = crate, path.relative_to(ROOT).as_posix()
        self.text = path.read_text()
        parts = list(path.relative_to(ROOT / crate).with_suffix("").parts)
        self.is_folder = parts[-1] in ("mod", "lib", "main")
        self.module = tuple(parts[:-1] if self.is_folder else parts)
        self.is_test = any(part in ("tests", "benches", "examples") for part in parts)
        self.code = blank(self.text)
        self.test_modules, self.lines = set(), self.text.count("\n")
        self.without_tests()
        self.paths = set(self.named())

    def without_tests(self):
        """Removes the items under `#[cfg(test)]` from `code`, and counts the other lines."""
        at = 0
        while (at := self.code.find("#[cfg(test)]", at)) >= 0:
            end = end_of(self.code, at + len("#[cfg(test)]"))
            item = self.code[at:end]
            if declared := re.search(r"\bmod (\w+);", item):
                self.test_modules.add(self.module + (declared[1],))
            self.lines -= item.count("\n") + 1
            self.code = self.code[:at] + re.sub(r"[^\n]", " ", item) + self.code[end:]
            at = end

    def named(self):
        """The paths that the code names, from the root of the crate."""
        for start in re.finditer(r"(?<![\w:])((?:super::)+|crate::|self::)", self.code):
            if start[1].startswith("crate"):
                base = ()
            elif start[1].startswith("self"):
                base = self.module
            else:
                base = self.module[:max(len(self.module) - start[1].count("super::"), 0)]
            yield from branches(self.code, start.end(), base)


def branches(code, at, base):
    """The paths that begin at `at`: one, or one for each branch of a group in braces."""
    if code.startswith("{", at):
        depth, begin = 0, at + 1
        for here in range(at, len(code)):
            depth += {"{": 1, "}": -1}.get(code[here], 0)
            if depth == 1 and code[here] == "," or depth == 0:
                begin += len(code[begin:here]) - len(code[begin:here].lstrip())
                yield from branches(code, begin, base)
                begin = here + 1
            if depth == 0:
                return
    elif name := re.match(r"\w+", code[at:at + 80]):
        path, end = base + (name[0],), at + name.end()
        if code.startswith("::", end):
            yield from branches(code, end + 2, path)
        else:
            yield path


def read_all():
    """All files of all crates, except tests."""
    files = []
    for crate in CRATES:
        of_crate = [File(crate, path) for path in sorted((ROOT / crate).rglob("*.rs"))]
        tests = set().union(*(file.test_modules for file in of_crate))
        is_test = lambda file: file.is_test or any(file.module[:len(test)] == test for test in tests)
        files += [file for file in of_crate if not is_test(file)]
    return files
