"""A survey of the sources, one figure a line: `make house`. `--list` names the places behind each figure."""

import collections
import re
import sys

from source import end_of, read_all

FILES_MAX, LINES_MAX = 15, 70
# The files that may distinguish functions of the query language by name: their table, and what is generated from it.
TABLE = "query/src/functions/table/"
ITEM = re.compile(r"^( *)pub (?:const |async |unsafe )*(fn|struct|enum|trait|const|static|type|mod) (\w+)", re.MULTILINE)


def circles(files):
    """Groups of modules in one folder that name one another in a circle."""
    found = []
    for crate in sorted({file.crate for file in files}):
        of_crate = [file for file in files if file.crate == crate]
        modules = {file.module for file in of_crate}
        modules |= {module[:end] for module in modules for end in range(len(module))}
        edges = collections.defaultdict(set)
        for file in of_crate:
            for path in file.named():
                while path and path not in modules:
                    path = path[:-1]
                shared = 0
                while shared < min(len(path), len(file.module)) and path[shared] == file.module[shared]:
                    shared += 1
                # A folder's own file belongs to its contents.
                if shared < min(len(path), len(file.module)):
                    edges[file.module[:shared + 1]].add(path[:shared + 1])
        found += [f"{crate}: " + ", ".join("::".join(module) for module in sorted(group)) for group in groups(edges)]
    return found


def groups(edges):
    """The strongly connected components with more than one node."""
    reach = {}
    for node in list(edges):
        seen, left = set(), [node]
        while left:
            for other in edges.get(left.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        reach[node] = seen
    components = {frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in reach}
    return sorted((sorted(component) for component in components if len(component) > 1))


def large_folders(files):
    count = collections.Counter(file.path.rsplit("/", 1)[0] for file in files)
    return [f"{folder}: {number} files" for folder, number in sorted(count.items()) if number > FILES_MAX]


def long_functions(files):
    found = []
    for file in files:
        for start in re.finditer(r"\bfn (\w+)", file.code):
            body = file.code[start.start():end_of(file.code, start.start())]
            if body.count("\n") + 1 > LINES_MAX:
                found.append(f"{file.path}: {start[1]}, {body.count(chr(10)) + 1} lines")
    return found


def told_by_name(files):
    """Places in the query crate that compare the name or the identity of a function with a constant."""
    comparison = re.compile(r"\bFunctionId::|\bname (?:==|!=) \"|\bmatch [^\n{]*(?:\.name|\bname)\b *\{")
    found = []
    for file in files:
        if file.path.startswith("query/src/") and not file.path.startswith(TABLE):
            for number, line in enumerate(file.text.splitlines()[:file.lines], 1):
                if comparison.search(line.split("//")[0]) and re.search(r"function|FunctionId", line):
                    found.append(f"{file.path}:{number}: {line.strip()}")
    return found


# An expression builds its automaton when it first needs it; its value never changes, nor does that of its owner.
CACHES = {"Pattern"}
GUARD = re.compile(r"\b(Mutex|RwLock|Atomic\w+|ArcSwap\w*|OnceLock|Condvar)\b")
FIELD = re.compile(r"^    (?:pub(?:\([^)]*\))? )?\w+: *((?:[^,<(\[]|<[^\n]*>|\([^\n]*\)|\[[^\n]*\])*)", re.MULTILINE)


def shared_structs(files):
    """Structs that threads share and change, with the number of their fields; the largest first. Shared is what is behind
    an `Arc`, and what a shared struct owns outside of its locks. It changes if it has a lock or an atomic, itself or in
    what it owns or shares."""
    structs = collections.defaultdict(list)
    for file in files:
        for start in re.finditer(r"\bstruct (\w+)[^;({]*\{", file.code):
            body = file.code[start.end():end_of(file.code, start.end() - 1) - 1]
            structs[file.crate, start[1]].append((file, start[1], [field[1] for field in FIELD.finditer(body)]))

    def named(file, types):
        """The structs that some types in a file name: its own, what it imports by a path from the crate, or
        else what is inside its module."""
        for name in set(re.findall(r"\b[A-Z]\w*", types)):
            if re.search(rf"\b(?:enum|trait|type) {name}\b", file.code):
                continue
            found = structs[file.crate, name]
            paths = [path[:-1] for path in file.paths if path[-1] == name] or [file.module]
            inside = [one for one in found if any(one[0].module[:len(path)] == path for path in paths)]
            yield from [one for one in found if one[0] is file] or inside

    def owned(one):
        file, _, fields = one
        return named(file, " ".join(re.sub(r"\b(Mutex|RwLock|Weak|Arc|ArcSwap)<[^\n]*", "", field) for field in fields))

    def changes(one, seen=()):
        file, name, fields = one
        if name in CACHES:
            return False
        inside = [*owned(one), *named(file, " ".join(re.findall(r"\bArc<[^\n]*", "\n".join(fields))))]
        return GUARD.search(" ".join(fields)) or any(changes(other, (*seen, one)) for other in inside if other not in seen)

    left = [one for file in files for name in re.findall(r"\bArc<(\w+)[<>]", file.code) for one in named(file, name)]
    shared = []
    while left:
        one = left.pop()
        if one not in shared:
            shared.append(one)
            left += owned(one)
    found = [(len(one[2]), f"{one[0].path}: {one[1]}, {len(one[2])} fields") for one in shared if changes(one)]
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return [text for _, text in found], found[0][0]


def undocumented(files):
    """Public items of public modules. A module has its comment in its file. What a private module exports through
    another one is left to the compiler's lint."""
    opened = {(file.crate, file.module) for file in files if file.text.startswith("//!")}
    public = {(file.crate, ()) for file in files}
    for file in sorted(files, key=lambda file: len(file.module)):
        if (file.crate, file.module) in public:
            names = re.findall(r"^pub mod (\w+)\b", file.code, re.MULTILINE)
            public |= {(file.crate, (*file.module, name)) for name in names}
    found = []
    for file in files:
        if (file.crate, file.module) not in public:
            continue
        lines, attributes = file.text.splitlines(), lines_of_attributes(file.code)
        for item in ITEM.finditer(file.code):
            number = file.code.count("\n", 0, item.start())
            above = number - 1
            while above >= 0 and (above in attributes or lines[above].lstrip().startswith("// ")):
                above -= 1
            is_module = item[2] == "mod" and (file.crate, (*file.module, item[3])) in opened
            if not is_module and not lines[above].lstrip().startswith(("///", "#[doc")):
                found.append(f"{file.path}:{number + 1}: {item[0].strip()}")
    return found


def lines_of_attributes(code):
    lines = set()
    for start in re.finditer(r"^ *#\[", code, re.MULTILINE):
        depth = 0
        for here in range(start.end() - 1, len(code)):
            depth += {"[": 1, "]": -1}.get(code[here], 0)
            if depth == 0:
                break
        lines.update(range(code.count("\n", 0, start.start()), code.count("\n", 0, here) + 1))
    return lines


def main():
    files = read_all()
    lengths = sorted(file.lines for file in files)
    structs, fields_max = shared_structs(files)
    figures = [
        ("production files", len(files), []),
        ("production lines", sum(lengths), []),
        ("circles of modules", *counted(circles(files))),
        (f"folders over {FILES_MAX} source files", *counted(large_folders(files))),
        (f"functions over {LINES_MAX} lines", *counted(long_functions(files))),
        ("lines of a production file, 95th percentile", lengths[len(lengths) * 95 // 100], []),
        ("places that tell functions apart outside their table", *counted(told_by_name(files))),
        ("fields of the largest shared struct", fields_max, structs[:5]),
        ("public items without docs", *counted(undocumented(files))),
    ]
    for what, number, places in figures:
        print(f"{what}: {number}")
        if "--list" in sys.argv:
            print("".join(f"    {place}\n" for place in places), end="")


def counted(places):
    return len(places), places


if __name__ == "__main__":
    main()
