"""Line numbers of the keys in a TOML file, which tomllib does not give.

Only for files that tomllib has accepted: the scanner relies on correct syntax and does not look for mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

# One token of TOML at a time. Order matters: multi-line strings before single-line ones.
_TOKEN = re.compile(
    r'''
      (?P<string>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<newline>\n)
    | (?P<space>[ \t\r]+)
    | (?P<punctuation>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,."'\#]+)
    ''',
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line of every table header and top-level key, by path.

    Array tables count from 0: the `limits` of the second `[[command]]` is `("command", 1, "limits")`. Keys inside
    inline tables are not listed; their line is that of the key that holds the table.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, header, keys in _statements(text):
        if header == 0:
            for depth in range(1, len(keys) + 1):
                lines.setdefault(table + tuple(keys[:depth]), line)
            continue
        # [a.b] below [[a]] belongs to the newest element of a.
        path: KeyPath = ()
        for key in keys[:-1]:
            path += (key,)
            if path in counts:
                path += (counts[path] - 1,)
        path += (keys[-1],)
        if header == 2:
            lines.setdefault(path, line)
            counts[path] = counts.get(path, 0) + 1
            path += (counts[path] - 1,)
        table = path
        lines.setdefault(path, line)
    return lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """Return the line of `path`, or of the nearest table or key around it; 1 if there is none."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return 1


def _statements(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (line, brackets of a header or 0 for a key, key parts) for each statement."""
    line, depth = 1, 0
    header, keys, in_value = 0, list[str](), False
    start = 1
    for token in _TOKEN.finditer(text):
        kind, value = token.lastgroup, token.group()
        if kind == "newline" and depth == 0:
            header, keys, in_value = 0, [], False
        elif kind == "punctuation" and in_value:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(value, 0)
        elif kind == "punctuation":
            if value == "[":
                header += 1
                start = line
            elif value == "]" and keys:
                yield start, header, keys
                keys = []
            elif value == "=":
                yield start, 0, keys
                in_value = True
        elif kind in {"bare", "string"} and not in_value:
            if not keys:
                start = line
            keys.append(value[1:-1] if kind == "string" else value)
        line += value.count("\n")
