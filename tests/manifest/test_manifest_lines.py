import time
import tomllib
from itertools import pairwise
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.manifest.lines import KeyPath, LineIndex, line_of, statements

TEXT = '''\
# a comment with = and [brackets] and """
title = "x # not a comment"

[malbox]
domain = "lab" # ["
empty = ""
[plugins.a]
env = { RULES = "rules/", "odd.key" = '] = [' }
command = [
  "one", # ]
  "two]",

  "three",
]
text = """
[plugins.b]
path = "no"
\\"""
quotes"""""
raw = \'\'\'
[x]
\\\'\'\'
after = 1
config.max.size = "1"
"quoted key".b = 2
"a=b" = 3

[[list]]
n = 1
[list.below]
m = 1
[[list]]
n = 2
[[list.inner]]
deep = [[1, 2],
  [3]]
[plugins]
late.path = "y"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("malbox",), 4),
        (("malbox", "domain"), 5),
        (("malbox", "empty"), 6),
        (("plugins",), 7),
        (("plugins", "a"), 7),
        (("plugins", "a", "env"), 8),
        (("plugins", "a", "env", "RULES"), 8),
        (("plugins", "a", "env", "odd.key"), 8),
        (("plugins", "a", "command"), 9),
        (("plugins", "a", "command", 2), 9),
        (("plugins", "a", "text"), 15),
        (("plugins", "a", "raw"), 20),
        (("plugins", "a", "after"), 23),
        (("plugins", "a", "config"), 24),
        (("plugins", "a", "config", "max", "size"), 24),
        (("plugins", "a", "quoted key", "b"), 25),
        (("plugins", "a", "a=b"), 26),
        (("list",), 28),
        (("list", 0, "n"), 29),
        (("list", 0, "below", "m"), 31),
        (("list", 1), 32),
        (("list", 1, "n"), 33),
        (("list", 1, "inner", 0), 34),
        (("list", 1, "inner", 0, "deep", 1, 0), 35),
        (("plugins", "late"), 38),
        (("plugins", "late", "path"), 38),
        (("plugins", "b"), None),
        (("x",), None),
        (("plugins", "a", "command", 3), None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_key_is_found_in_the_line_of_its_statement(path: KeyPath, line: int | None, line_end: str) -> None:
    text = TEXT.replace("\n", line_end)
    assert tomllib.loads(text)
    assert line_of(text, path) == line


def test_a_missing_key_is_looked_for_in_the_table_around_it() -> None:
    index = LineIndex(TEXT)
    assert index.nearest_line_of(("plugins", "a", "absent")) == 7
    assert index.nearest_line_of(("absent",)) is None
    assert index.nearest_line_of(()) is None


def _paths(value: object, path: KeyPath = ()) -> list[KeyPath]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            found += _paths(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += _paths(child, (*path, index))
    return found


def _at(document: Any, path: KeyPath) -> bool:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _naive_line_of(text: str, path: KeyPath) -> int | None:
    """The definition: the line after the last parseable prefix that does not have the key yet."""
    lines = text.split("\n")
    before = 0
    for count in range(len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _at(document, path):
            return before + 1
        before = count
    return None


_scalars = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.text(alphabet="ab[]{}\"'#=\n\\ é", max_size=8),
    st.lists(st.text(alphabet="a]\"'", max_size=3), max_size=3),
)
_keys = st.text(alphabet="ab.=#\"' ", min_size=0, max_size=3)
_documents = st.dictionaries(
    _keys,
    st.recursive(
        _scalars,
        lambda below: (
            st.dictionaries(_keys, below, max_size=3) | st.lists(st.dictionaries(_keys, below, max_size=2), max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@given(_documents, st.booleans())
def test_every_key_is_where_the_prefixes_of_the_text_say(document: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(document, multiline_strings=multiline)
    index = LineIndex(text)
    for path in _paths(tomllib.loads(text)):
        assert index.line_of(path) == _naive_line_of(text, path)


@given(st.text(alphabet="a=[]{}\"'#\n\\ .1", max_size=60))
def test_any_text_is_cut_into_statements_that_cover_its_lines_in_order(text: str) -> None:
    cut = list(statements(text))
    assert all(before.last_line < after.line for before, after in pairwise(cut))
    assert all(1 <= statement.line <= statement.last_line <= text.count("\n") + 1 for statement in cut)
    assert LineIndex(text).line_of(("absent",)) is None


def test_twenty_problems_in_a_long_manifest_cost_less_than_a_second() -> None:
    tables = "".join(
        f'[plugins.p{n}]\npath = "p{n}"\nconfig = {{ a = "1" }}\ncommand = [\n  "x",\n]\n\n' for n in range(300)
    )
    text = tables + "big = [\n" + "  [1],\n" * 5000 + "]\n" + 'long = """\n' + "a = [\n" * 5000 + '"""\n'
    started = time.process_time()
    index = LineIndex(text)
    found = [index.line_of(("plugins", f"p{n}", "config")) for n in range(20)]
    assert time.process_time() - started < 1
    assert found == [n * 7 + 3 for n in range(20)]
