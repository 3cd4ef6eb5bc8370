"""The stream of a task, as lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.control.json_text import on_one_line
from malbox_cli.control.records import (
    Accepted,
    Ended,
    Outcome,
    Progress,
    Record,
    Refused,
    Result,
    TaskWarning,
    record_of,
    to_line,
)

TASK = st.integers(1, 2**31 - 1)
TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates too: they come out of paths
DATA = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))
SECONDS = st.floats(0, 1e6).map(lambda number: round(number, 6))
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(Accepted, TASK, TEXT, TEXT, TEXT),
    st.builds(Progress, TASK, st.floats(0, 1), TEXT),
    st.builds(TaskWarning, TASK, TEXT),
    st.builds(Refused, TEXT, TEXT),
    st.builds(Ended, TASK, TEXT, st.sampled_from(Outcome), st.none() | TEXT, SECONDS, st.booleans()),
    st.builds(
        Result,
        TASK,
        TEXT,
        st.just("json"),
        st.integers(0),
        TEXT,
        data=DATA.map(lambda value: json.dumps(value, ensure_ascii=False)),
    ),
    st.builds(Result, TASK, TEXT, st.sampled_from(["json", "bytes", "file"]), st.integers(0), TEXT, path=TEXT),
)


@given(RECORDS)
def test_a_record_is_one_line_that_gives_it_back(record: Record) -> None:
    line = to_line(record)
    assert "\n" not in line
    assert record_of(json.loads(line.encode())) == record


EXACT = {
    "accepted": (
        Accepted(1, "p", "/a\udcff", "00"),
        '{"type": "accepted", "task": 1, "plugin": "p", "sample": "/a\\udcff", "sha256": "00"}',
    ),
    "progress": (Progress(1, 0.5, "ü"), '{"type": "progress", "task": 1, "progress": 0.5, "message": "ü"}'),
    "warning": (TaskWarning(1, "w"), '{"type": "warning", "task": 1, "message": "w"}'),
    "json": (
        Result(1, "r", "json", 9, "00", data='{"a": 1.0}'),
        (
            '{"type": "result", "task": 1, "name": "r", "format": "json", "size": 9, "sha256": "00", '
            '"number": 0, "attempt": 1, "data": {"a": 1.0}}'
        ),
    ),
    "bytes": (
        Result(1, "r", "bytes", 9, "00", path="/x"),
        (
            '{"type": "result", "task": 1, "name": "r", "format": "bytes", "size": 9, "sha256": "00", '
            '"number": 0, "attempt": 1, "path": "/x"}'
        ),
    ),
    "file": (
        Result(1, "r", "file", 9, "00", path="/x"),
        (
            '{"type": "result", "task": 1, "name": "r", "format": "file", "size": 9, "sha256": "00", '
            '"number": 0, "attempt": 1, "path": "/x"}'
        ),
    ),
    "refused": (Refused("p", "no"), '{"type": "refused", "plugin": "p", "error": "no"}'),
    "completed": (
        Ended(1, "p", Outcome.COMPLETED, None, 1.23456789),
        '{"type": "completed", "task": 1, "plugin": "p", "error": null, "seconds": 1.234568, "partial": false}',
    ),
    **{
        outcome.value: (
            Ended(1, "p", outcome, "why", 2, partial=True),
            f'{{"type": "{outcome.value}", "task": 1, "plugin": "p", "error": "why", "seconds": 2, "partial": true}}',
        )
        for outcome in (Outcome.FAILED, Outcome.CANCELED, Outcome.TIMEOUT)
    },
}


@pytest.mark.parametrize(("record", "line"), EXACT.values(), ids=EXACT.keys())
def test_the_fields_are_those_that_scripts_rely_on(record: Record, line: str) -> None:
    assert to_line(record) == line


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "unheard of"},
        {"type": None},
        {"type": []},
        {"type": "accepted"},
        {"type": "accepted", "task": 1, "plugin": "p", "sample": "s", "sha256": "0", "more": 1},
        {"type": "completed", "outcome": "failed"},
    ],
    ids=repr,
)
def test_what_is_no_record_is_a_value_error(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        record_of(fields)


def test_data_stands_in_its_record_as_it_was_written() -> None:
    data = on_one_line('{"b": 1.50,\n"a": 1e2, "a": 2}')
    assert to_line(Result(1, "r", "json", 1, "0", data=data)).endswith('"data": {"b": 1.50, "a": 1e2, "a": 2}}')
