"""The tables of smoke tests, and paths in JSON."""

from pathlib import Path
from typing import Any

import pytest
from manifest_disk import PLUGIN, errors_of, notes_of, read_text

from malbox_cli.manifest.json_path import NotThere, at, parse_path, same
from malbox_cli.manifest.specs import JsonExpected, SmokeTest

TEST = "[[plugins.a.smoke]]\n"


def smoke_test(body: str, files: dict[str, bytes] | None = None) -> SmokeTest:
    """Return the one test with these lines."""
    manifest, problems = read_text(f"{PLUGIN}{TEST}{body}\n", files)
    assert [str(problem) for problem in problems] == []
    assert manifest is not None
    return manifest.smoke[0]


def test_a_test_says_what_it_says() -> None:
    test = smoke_test(
        'name = "packed"\nsample = "samples/a"\nconfig = { depth = "2" }\nresults = ["report", "x"]\n'
        'json = { "report:$.verdict.score" = 90 }\nverdict = "malicious"\ntimeout = "20s"\n',
        {"samples/a": b""},
    )

    assert test == SmokeTest(
        plugin="a",
        name="packed",
        sample=Path("/m/samples/a"),
        config={"depth": "2"},
        results=("report", "x"),
        json=(JsonExpected(key="report:$.verdict.score", result="report", path=("verdict", "score"), value=90),),
        verdict="malicious",
        timeout=20.0,
    )


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ('text = "hé"', "hé".encode()),
        ('text = ""', b""),
        ('hex = "4d 5A 90"', b"MZ\x90"),
        ('hex = ""', b""),
        ('base64 = "TVqQAA=="', b"MZ\x90\x00"),
        ('base64 = """\nTVqQ\nAA==\n"""', b"MZ\x90\x00"),
    ],
)
def test_a_sample_may_stand_in_the_manifest(body: str, data: bytes) -> None:
    assert smoke_test(body).data == data


def test_a_test_without_a_name_has_a_number() -> None:
    manifest, _ = read_text(f'{PLUGIN}{TEST}text = ""\n{TEST}text = ""\nname = "x"\n{TEST}text = ""\n')
    assert manifest is not None
    assert [test.name for test in manifest.smoke] == ["#1", "x", "#3"]


def test_a_smoke_test_changes_nothing_of_the_plugin_that_a_reload_would_see() -> None:
    with_test, _ = read_text(f'{PLUGIN}{TEST}text = ""\n')
    without, _ = read_text(PLUGIN)
    assert with_test is not None
    assert without is not None
    assert with_test.plugins == without.plugins


def test_how_a_task_has_to_fail() -> None:
    test = smoke_test('text = ""\noutcome = "failed"\nerror = "no section"')
    assert (test.outcome, test.error) == ("failed", "no section")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("results = []", "3: plugins.a.smoke[0].sample: is missing: a test needs a sample; write one of sample, text,"),
        ('text = ""\nhex = ""', "5: plugins.a.smoke[0].hex: stands beside text, but a test has one sample"),
        ('hex = "4d5"', "4: plugins.a.smoke[0].hex: is '4d5', which is not hex: "),
        ('base64 = "a"', "4: plugins.a.smoke[0].base64: is 'a', which is not base64: "),
        (
            'text = ""\nresult = ["a"]',
            "5: plugins.a.smoke[0].result: is not a key that is known here (did you mean 'results'?)",
        ),
        ('text = ""\nresults = [""]', "5: plugins.a.smoke[0].results[0]: is no name of a result"),
        ('text = ""\nverdict = "Malicius"', "5: plugins.a.smoke[0].verdict: is 'Malicius'"),
        ('text = ""\noutcome = "done"', "5: plugins.a.smoke[0].outcome: is 'done'"),
        ('text = ""\ntimeout = 5', "5: plugins.a.smoke[0].timeout: is the integer 5, expected a duration"),
        ('text = ""\nerror = "x"', '5: plugins.a.smoke[0].error: goes with another outcome than "completed"'),
        ('text = ""\nconfig = { a = 1 }', "5: plugins.a.smoke[0].config.a: is the integer 1, but values in config"),
        ('text = ""\njson = { "a" = 1 }', "5: plugins.a.smoke[0].json.a: is no key of this table; write a result's"),
        ('text = ""\njson = { "a:$.b c" = 1 }', "5: plugins.a.smoke[0].json.\"a:$.b c\": from ' c' on it is no path"),
        ('text = ""\njson = { "a:$" = 1979-01-01 }', '5: plugins.a.smoke[0].json."a:$": is the date or time'),
        ('text = ""\njson = { "a:$" = [nan] }', '5: plugins.a.smoke[0].json."a:$": is the float nan, which JSON'),
        (f'text = ""\nname = "x"\n{TEST}text = ""\nname = "x"', "8: plugins.a.smoke[1].name: is 'x', as that of"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(body: str, problem: str) -> None:
    (found,) = errors_of(f"{TEST}{body}")
    assert found.startswith(f"plugins.toml:{problem}")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("smoke = 1", "3: plugins.a.smoke: is the integer 1, expected an array of tables such as"),
        ("smoke = [1]", "3: plugins.a.smoke[0]: is the integer 1, expected a table such as"),
    ],
)
def test_what_is_no_table_of_a_test_is_refused(body: str, problem: str) -> None:
    (found,) = errors_of(body)
    assert found.startswith(f"plugins.toml:{problem}")


def test_a_sample_that_is_not_there_is_noted() -> None:
    (note,) = notes_of(f'{TEST}sample = "gone"')
    assert note == (
        "plugins.toml:4: plugins.a.smoke[0].sample: '/m/gone' is no file that can be read now; the test would fail"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", {"a": [{"b c": 1}, {"d": None}], "x-1": "y", "": 3}),
        ("$.a[0]", {"b c": 1}),
        ('$.a[0]["b c"]', 1),
        ("$.a[-1].d", None),
        ("$.x-1", "y"),
        ('$[""]', 3),
    ],
)
def test_a_path_leads_to_a_value(path: str, expected: Any) -> None:
    value = {"a": [{"b c": 1}, {"d": None}], "x-1": "y", "": 3}
    assert at(value, parse_path(path)) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.b", '^\\$ is an object without "b"$'),
        ("$.a[2]", r"^\$\.a is an array of 2 without 2$"),
        ("$.a[-3]", "without -3"),
        ("$.a.b", r'^\$\.a is an array of 2 without "b"$'),
        ("$.s.t", r'^\$\.s is neither an object nor an array, and so without "t"$'),
        ("$[0]", "^\\$ is an object without 0$"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: str, message: str) -> None:
    with pytest.raises(NotThere, match=message):
        at({"a": [1, 2], "s": "text"}, parse_path(path))


@pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$[", "$[a]", "$['a']", '$["\\x"]', "$..a", "$.a[1", "$ .a"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|string of JSON"):
        parse_path(path)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        ([1, {"a": 2}], [1.0, {"a": 2}], True),
        ([1], [True], False),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (None, False, False),
    ],
)
def test_values_are_the_same_as_json_has_them(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected
