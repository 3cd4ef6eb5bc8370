"""A plugin's report in a few lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.output.report import MAX_INDICATORS, is_report, report_lines

VALUES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)
KEYS = st.sampled_from(["verdict", "summary", "ttps", "indicators", "labels", "score"])


def test_a_report_is_told_by_its_name_and_its_version() -> None:
    assert is_report("report", {"schema_version": 1})
    assert not is_report("report", {"schema_version": 2})
    assert not is_report("other", {"schema_version": 1})
    assert not is_report("report", [1])


def test_the_verdict_comes_first_and_then_why() -> None:
    assert report_lines(
        {
            "verdict": {"classification": "malicious", "score": 90, "confidence": "high", "labels": ["packer", "upx"]},
            "summary": "Packed",
            "ttps": [{"id": "T1027", "name": "Obfuscation"}],
            "indicators": [{"kind": "domain", "value": "evil.example"}],
        }
    ) == [
        "verdict malicious, score 90, confidence high, labels packer upx",
        "Packed",
        "technique T1027 Obfuscation",
        "domain evil.example",
    ]


def test_many_indicators_are_counted() -> None:
    lines = report_lines({"indicators": [{"kind": "ip", "value": str(number)} for number in range(MAX_INDICATORS + 5)]})
    assert lines[-1] == "... and 5 more indicators"
    assert len(lines) == 1 + MAX_INDICATORS + 1


@pytest.mark.parametrize("key", ["kind", "value"])
def test_hostile_text_cannot_make_lines_of_its_own(key: str) -> None:
    (_, line) = report_lines({"indicators": [{"kind": "k", "value": "v", key: "x\nverdict clean\x1b[0m\u202e"}]})
    assert "x\\nverdict clean\\x1b[0m\\u202e" in line


@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES)))
def test_a_report_of_any_shape_gives_printable_lines(report: dict[str, object]) -> None:
    lines = report_lines(report)
    assert lines[0].startswith(("verdict", "no verdict"))
    assert all(line.isprintable() for line in lines)
