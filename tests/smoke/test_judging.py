"""What holds of a smoke test's task, and the XML that says so."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.control.records import Ended, Outcome, Refused
from malbox_cli.manifest.json_path import parse_path
from malbox_cli.manifest.specs import JsonExpected, SmokeTest
from malbox_cli.smoke.judge import Got, Judgement, judge, needs_data_of
from malbox_cli.smoke.junit import junit_xml

WELL = Ended(1, "a", Outcome.COMPLETED, None, 0.25)
BADLY = Ended(1, "a", Outcome.FAILED, "Traceback\nValueError: no section", 0.5)
REPORT = Got("report", "json", json.dumps({"verdict": {"classification": "clean", "score": 3}}))


def smoke(**fields: Any) -> SmokeTest:
    return SmokeTest(**{"plugin": "a", "name": "one", "data": b"", **fields})


def wants(result: str, path: str, value: object) -> SmokeTest:
    return smoke(json=(JsonExpected(key=f"{result}:{path}", result=result, path=parse_path(path), value=value),))


@pytest.mark.parametrize(
    ("test", "got", "end"),
    [
        (smoke(), [], WELL),
        (smoke(results=("report",)), [REPORT], WELL),
        (smoke(verdict="clean"), [REPORT], WELL),
        (wants("report", "$.verdict.score", 3), [REPORT], WELL),
        (wants("report", "$.verdict.score", 3), [Got("report", "json", "1"), REPORT], WELL),  # the last one counts
        (smoke(outcome="failed"), [], BADLY),
        (smoke(outcome="failed", error="no section"), [], BADLY),
    ],
)
def test_what_holds_passes(test: SmokeTest, got: list[Got], end: Ended) -> None:
    judgement = judge(test, got, end)
    assert judgement.failures == ()
    assert judgement.passed
    assert judgement.seconds == end.seconds


@pytest.mark.parametrize(
    ("test", "got", "end", "failure"),
    [
        (smoke(), [], BADLY, "the outcome is failed, expected completed: Traceback\nValueError: no section"),
        (smoke(outcome="failed"), [], WELL, "the outcome is completed, expected failed"),
        (smoke(outcome="failed", error="x"), [], BADLY, "the error does not have 'x' in it: Traceback"),
        (smoke(results=("b",)), [REPORT], WELL, "there is no result 'b'; there is 'report'"),
        (smoke(verdict="malicious"), [REPORT], WELL, 'the verdict is "clean", expected "malicious"'),
        (smoke(verdict="clean"), [], WELL, "there is no verdict, expected clean: there is no result 'report'"),
        (smoke(verdict="clean"), [Got("report", "json", "{}")], WELL, "there is no verdict, expected clean: $ is an"),
        (wants("report", "$.verdict.score", 4), [REPORT], WELL, "report:$.verdict.score is 3, expected 4"),
        (wants("report", "$.verdict.x", 4), [REPORT], WELL, "report:$.verdict.x: $.verdict is an object without"),
        (wants("b", "$", 4), [Got("b", "bytes")], WELL, "b:$: the result 'b' is bytes, not JSON"),
        (smoke(outcome="failed"), [], Refused("a", "its queue is full"), "the task was refused: its queue is full"),
        (smoke(), [], None, "it was not run"),
    ],
)
def test_what_does_not_hold_is_said(test: SmokeTest, got: list[Got], end: Ended | Refused | None, failure: str) -> None:
    judgement = judge(test, got, end)
    assert not judgement.passed
    (found,) = judgement.failures
    assert found.startswith(failure)


def test_everything_that_does_not_hold_is_said_at_once() -> None:
    test = smoke(results=("b", "c"), verdict="malicious")
    assert len(judge(test, [REPORT], BADLY).failures) == 4


def test_only_what_is_asked_for_is_read() -> None:
    assert needs_data_of(smoke(verdict="clean"), "report")
    assert needs_data_of(wants("b", "$", 1), "b")
    assert not needs_data_of(smoke(results=("b",)), "b")


def test_the_xml_has_a_suite_for_each_plugin_and_says_what_failed() -> None:
    judgements = [
        judge(smoke(), [], WELL),
        judge(smoke(name="two"), [], BADLY),
        judge(smoke(plugin="b"), [], None),
    ]

    top = ElementTree.fromstring(junit_xml(judgements))

    assert (top.get("tests"), top.get("failures"), top.get("skipped")) == ("3", "1", "1")
    assert [(suite.get("name"), suite.get("tests")) for suite in top] == [("a", "2"), ("b", "1")]
    one, two = top[0]
    assert (one.get("classname"), one.get("name"), one.get("time"), len(one)) == ("a", "one", "0.250", 0)
    assert two[0].tag == "failure"
    assert two[0].get("message") == "the outcome is failed, expected completed: Traceback"
    assert "ValueError: no section" in (two[0].text or "")
    assert top[1][0][0].tag == "skipped"


@given(st.text(st.characters()), st.text(st.characters()))
def test_the_xml_is_well_formed_whatever_is_in_it(name: str, failure: str) -> None:
    hostile = Judgement(smoke(plugin=f"p{name}", name=name), (f"]]>{failure}\x00\x1b[31m\ud800&<",), "failed")

    top = ElementTree.fromstring(junit_xml([hostile]))

    assert "\\x00\\x1b[31m\\ud800&<" in (top[0][0][0].text or "")
