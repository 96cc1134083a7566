"""Line numbers of keys, against every way to write them."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from holdfast.toml_positions import key_lines, line_of

TEXT = '''\
# comment = 1
title = "x # not a comment"   # [not.a.table]
long = """
[not.a.table]
key = 1
"""
literal = \'\'\'
a = 1\'\'\'
list = [
  1, # two = 2
  2,
]
inline = { a = 1, b = { c = "]" } }
a."b.c" = 1

[table]
key = "\\"quoted\\" = 1"

[[items]]
name = "first"
[items.inner]
deep = 1

[[items]]
name = "second"
'''

EXPECTED = {
    ("title",): 2,
    ("long",): 3,
    ("literal",): 7,
    ("list",): 9,
    ("inline",): 13,
    ("a",): 14,
    ("a", "b.c"): 14,
    ("table",): 16,
    ("table", "key"): 17,
    ("items",): 19,
    ("items", 0): 19,
    ("items", 0, "name"): 20,
    ("items", 0, "inner"): 21,
    ("items", 0, "inner", "deep"): 22,
    ("items", 1): 24,
    ("items", 1, "name"): 25,
}


def test_every_key_has_its_line() -> None:
    tomllib.loads(TEXT)
    assert key_lines(TEXT) == EXPECTED


def test_what_is_not_there_has_the_line_of_what_is_around_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("items", 1, "limits")) == 24
    assert line_of(lines, ("nowhere", "key")) == 1


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(), min_size=1, max_size=8))
def test_strings_with_anything_in_them_do_not_move_the_lines(values: dict[str, str]) -> None:
    import tomlkit

    pieces = [f"{key} = {tomlkit.item(value).as_string()}" for key, value in values.items()]
    text = "\n".join(pieces) + "\n"
    assert tomllib.loads(text) == values
    found = key_lines(text)
    expected, line = {}, 1
    for key, piece in zip(values, pieces, strict=True):
        expected[(key,)] = line
        line += piece.count("\n") + 1
    assert found == expected
