"""What commands and supervisor say to each other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.control.messages import (
    Acting,
    Answer,
    Canceling,
    Changing,
    Denied,
    Misunderstood,
    PluginStatus,
    ReloadDone,
    Reloading,
    Request,
    StatusAsked,
    Stopping,
    Submitting,
    SupervisorStatus,
    Watching,
    decode_request,
    decode_status,
    encode,
)
from malbox_cli.control.news import News, PluginNews, SupervisorNews, news_of

TEXT = st.text(st.characters(codec=None, exclude_categories=()))
PATH = st.text(st.characters(codec=None, exclude_categories=(), exclude_characters="\0")).map(lambda text: "/" + text)
IDS = st.lists(TEXT).map(tuple)
TIMEOUT = st.none() | st.floats(min_value=0, exclude_min=True, allow_nan=False)
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(Submitting, TEXT, PATH, st.dictionaries(TEXT, TEXT), TIMEOUT),
    st.builds(Canceling, st.integers(-(2**63), 2**63)),
    st.just(StatusAsked()),
    st.just(Stopping()),
    st.builds(Changing, st.sampled_from(["start", "stop", "restart"]), st.lists(TEXT).map(tuple)),
    st.just(Watching()),
    st.just(Reloading()),
)
NEWS: st.SearchStrategy[News] = st.one_of(
    st.builds(SupervisorNews, st.floats(0, 1e10), st.integers(1), st.sampled_from(["running", "stopping"]), IDS),
    st.builds(
        PluginNews,
        *(st.floats(0, 1e10), TEXT, TEXT, TEXT, st.floats(0, 1e10), st.none() | st.integers(1), st.integers(0)),
        st.none() | st.fixed_dictionaries({"code": st.none(), "signal": st.integers(1, 64)}),
        IDS,
    ),
)
PLUGIN = PluginStatus(
    id="p",
    name="p",
    version="1.0",
    state="READY",
    reason="it takes tasks",
    pid=5,
    uptime=1.5,
    restarts=0,
    last_exit={"code": None, "signal": 9},
    ready_at=1.0,
    tasks={"queued": 0, "running": 1, "completed": 2, "failed": 3, "canceled": 4},
)
STATUS = SupervisorStatus(pid=1, uptime=2.0, domain="lab", manifest="/m", plugins=(PLUGIN,))


@given(NEWS)
def test_news_are_one_line_that_gives_them_back(news: News) -> None:
    line = encode(news)
    assert "\n" not in line
    assert news_of(json.loads(line)) == news


@pytest.mark.parametrize(
    "fields", [{}, {"type": "plugin"}, {"type": "supervisor", "time": 1}, {"last_lines": [], "x": 1}]
)
def test_what_is_no_news_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not news"):
        news_of(fields)


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (Denied("no"), {"type": "denied", "error": "no"}),
        (Acting(("a", "b")), {"type": "acting", "plugins": ["a", "b"]}),
        (
            ReloadDone(("a",), (), ("b",), ("c",)),
            {"type": "reloaded", "added": ["a"], "removed": [], "changed": ["b"], "same": ["c"]},
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_answer_is_an_object_with_its_type(answer: Answer, fields: dict[str, object]) -> None:
    assert json.loads(encode(answer)) == fields


@given(REQUESTS)
def test_a_request_is_one_line_that_gives_it_back(request: Request) -> None:
    line = encode(request)
    assert "\n" not in line
    assert decode_request(line.encode()) == request


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b"1",
        b"{}",
        b'{"type": "unheard of"}',
        b'{"type": []}',
        b'{"type": {}}',
        b'{"type": null}',
        b'{"type": "cancel"}',
        b'{"type": "cancel", "task": "1"}',
        b'{"type": "cancel", "task": true}',
        b'{"type": "cancel", "task": 1.5}',
        b'{"type": "change", "what": "start"}',
        b'{"type": "change", "what": "start", "plugins": 1}',
        b'{"type": "change", "what": "start", "plugins": [1]}',
        b'{"type": "change", "what": "burn", "plugins": ["p"]}',
        b'{"type": "watch", "more": 1}',
        b'{"type": "status", "more": 1}',
        b'{"type": "submit", "plugin": 1, "sample": "/a"}',
        b'{"type": "submit", "plugin": "p", "sample": "a"}',
        b'{"type": "submit", "plugin": "p", "sample": "/a\\u0000b"}',
        b'{"type": "submit", "plugin": "p", "sample": ["/a"]}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "config": []}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "config": {"a": 1}}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": 0}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": -1}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": "5"}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": true}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": NaN}',
        b'{"type": "submit", "plugin": "p", "sample": "/a", "timeout": 1' + b"0" * 400 + b"}",
        b"[" * 500_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda line: line[:80].decode("latin-1"),
)
def test_what_is_no_request_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_request(line)


FIELDS = st.sampled_from(["type", "plugin", "sample", "config", "timeout", "task"])
VALUES = st.sampled_from(["submit", "cancel", "status", "stop", "/a"]) | st.none() | st.integers() | st.floats() | TEXT


@given(st.dictionaries(FIELDS, VALUES | st.lists(VALUES) | st.dictionaries(TEXT, VALUES)))
def test_any_object_is_a_request_or_a_value_error(fields: dict[str, object]) -> None:
    try:
        request = decode_request(json.dumps(fields).encode())
    except ValueError:
        return
    assert decode_request(encode(request).encode()) == request


def test_a_request_may_leave_out_what_has_a_default() -> None:
    assert decode_request(b'{"type": "submit", "plugin": "p", "sample": "/a"}') == Submitting("p", "/a")


def test_the_status_has_the_fields_that_scripts_rely_on() -> None:
    assert STATUS.as_json_object() == {
        "supervisor": {"pid": 1, "uptime": 2.0, "domain": "lab", "manifest": "/m"},
        "plugins": [
            {
                "id": "p",
                "name": "p",
                "version": "1.0",
                "state": "READY",
                "reason": "it takes tasks",
                "pid": 5,
                "uptime": 1.5,
                "restarts": 0,
                "last_exit": {"code": None, "signal": 9},
                "ready_at": 1.0,
                "tasks": {"queued": 0, "running": 1, "completed": 2, "failed": 3, "canceled": 4},
                "iceoryx2": None,
                "rss": None,
                "cpu": None,
            }
        ],
    }


def test_the_status_comes_back_from_its_line() -> None:
    fields = json.loads(encode(STATUS))
    assert fields["type"] == "status"
    assert decode_status(fields) == STATUS


@pytest.mark.parametrize(
    "fields", [{}, {"supervisor": {}, "plugins": []}, {"supervisor": None, "plugins": None}], ids=repr
)
def test_what_is_no_status_is_a_value_error(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a status"):
        decode_status(fields)


def test_misunderstood_says_why() -> None:
    assert json.loads(encode(Misunderstood("no"))) == {"type": "misunderstood", "error": "no"}
