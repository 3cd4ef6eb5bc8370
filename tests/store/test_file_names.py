"""File names from names that anybody may have chosen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.store.names import MAX_FILE_NAME, safe_file_name


@given(st.text(), st.sampled_from(["", ".json"]))
def test_any_name_becomes_one_that_harms_nobody(name: str, suffix: str) -> None:
    file_name = safe_file_name(name, suffix)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", file_name)
    assert len(file_name) <= MAX_FILE_NAME
    assert file_name.endswith(suffix)


@pytest.mark.parametrize(
    ("name", "suffix", "file_name"),
    [
        ("report", ".json", "report.json"),
        ("report.json", ".json", "report.json"),
        (".json", ".json", "json.json"),
        ("x" * 200, ".json", "x" * 75 + ".json"),
        ("...", "", "result"),
        ("a/b", "", "a_b"),
    ],
)
def test_names_stay_what_they_are_where_they_can(name: str, suffix: str, file_name: str) -> None:
    assert safe_file_name(name, suffix) == file_name
