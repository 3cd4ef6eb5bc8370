"""The keys of a plugin's life: restarts, health, heartbeat."""

from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import errors_of, read_text, spec_of

from malbox_cli.manifest.specs import Manifest


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ('restart = "no"', "restart", "no"),
        ('restart = "on-failure"', "restart", "on-failure"),
        ('restart = "always"', "restart", "always"),
        ("success_exit_codes = []", "success_exit_codes", {0}),
        ("success_exit_codes = [2, 255]", "success_exit_codes", {0, 2, 255}),
        ("success_exit_codes = [0, 2, 2]", "success_exit_codes", {0, 2}),
        ("no_restart_exit_codes = [1, 3]", "no_restart_exit_codes", {1, 3}),
        ('health_interval = "100ms"', "health_interval", 0.1),
        ('health_interval = "5m"', "health_interval", 300.0),
        ('health_interval = "off"', "health_interval", None),
        ('heartbeat = "100ms"', "heartbeat", 0.1),
        ('heartbeat = "10s"', "heartbeat", 10.0),
        ("after = []", "after", ()),
    ],
)
def test_a_key_says_what_it_says(body: str, field: str, expected: object) -> None:
    assert getattr(spec_of(body), field) == expected


CODES = "an array of exit codes such as [0, 2]"
WATCHED = 'a duration such as "30s", or "off"'


@pytest.mark.parametrize(
    ("body", "key", "message"),
    [
        (
            'restart = "onfailure"',
            "restart",
            'is \'onfailure\' (did you mean \'on-failure\'?); write one of "no", "on-failure", "always"',
        ),
        ("restart = true", "restart", 'is the boolean true, expected one of "no", "on-failure", "always"'),
        ("success_exit_codes = 2", "success_exit_codes", f"is the integer 2, expected {CODES}"),
        (
            "success_exit_codes = [256]",
            "success_exit_codes[0]",
            "is the integer 256, but has to be from 0 to 255",
        ),
        (
            "no_restart_exit_codes = [1, -9]",
            "no_restart_exit_codes[1]",
            "is the integer -9, but has to be from 0 to 255",
        ),
        (
            "success_exit_codes = [true]",
            "success_exit_codes[0]",
            "is the boolean true, expected an integer from 0 to 255",
        ),
        (
            'no_restart_exit_codes = ["3"]',
            "no_restart_exit_codes[0]",
            "is the string '3', expected an integer from 0 to 255",
        ),
        (
            "success_exit_codes = [2]\nno_restart_exit_codes = [1, 2]",
            "no_restart_exit_codes[1]",
            "is 2, which stands in success_exit_codes as well; remove it from one of the two",
        ),
        (
            "no_restart_exit_codes = [0]",
            "no_restart_exit_codes[0]",
            'is 0, which always says that all is well; remove it, and write restart = "on-failure" or "no"',
        ),
        (
            'health_interval = "of"',
            "health_interval",
            '\'of\' is not a duration such as "500ms", "30s" or "5m"; or write "off"',
        ),
        ("health_interval = false", "health_interval", f"is the boolean false, expected {WATCHED}"),
        (
            "health_interval = 0",
            "health_interval",
            f'is the integer 0, expected {WATCHED}; put it in quotes with its unit, as in "30s"',
        ),
        ('health_interval = "0s"', "health_interval", f"is '0s', but has to be more than zero; write {WATCHED}"),
        (
            'health_interval = "99ms"',
            "health_interval",
            f"is '99ms', but has to be at least 100ms; write {WATCHED}",
        ),
        (
            'heartbeat = "1ms"',
            "heartbeat",
            "is '1ms', but has to be at least 100ms; write a duration such as \"10s\"",
        ),
        ("heartbeat = true", "heartbeat", 'is the boolean true, expected a duration such as "10s"'),
        ('after = "a"', "after", "is the string 'a', expected an array of plugins' ids such as [\"file-info\"]"),
        ("after = [1]", "after[0]", 'is the integer 1, expected a string; write it in quotes: "1"'),
    ],
)
def test_a_key_that_is_wrong_is_one_problem_in_its_line(body: str, key: str, message: str) -> None:
    line = 3 + body.count("\n")
    assert errors_of(body) == [f"plugins.toml:{line}: plugins.a.{key}: {message}"]


def test_several_that_are_wrong_come_at_once() -> None:
    body = 'restart = 1\nsuccess_exit_codes = [\n  -1,\n  300,\n]\nheartbeat = "1x"\nhealth_interval = []\nafter = 1'
    assert [problem.split(": ")[:2] for problem in errors_of(body)] == [
        ["plugins.toml:3", "plugins.a.restart"],
        ["plugins.toml:4", "plugins.a.success_exit_codes[0]"],
        ["plugins.toml:4", "plugins.a.success_exit_codes[1]"],
        ["plugins.toml:8", "plugins.a.heartbeat"],
        ["plugins.toml:9", "plugins.a.health_interval"],
        ["plugins.toml:10", "plugins.a.after"],
    ]


_values = st.recursive(
    st.one_of(
        st.sampled_from(
            [
                *("no", "always", "off", "10s", "-1s", "0ms", "a", "p", "64KiB", "512MiB", "0-3,6", "x.env", "LC_*"),
                *("parallel", "exclusive", "ephemeral", "scoped"),
            ]
        ),
        st.text(max_size=5),
        st.integers(-30, 300),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.datetimes(),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["memory", "cpu_time", "nofile", "procs", "lost", "error", "A"]), st.text(max_size=3)
            ),
            below,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
_keys = st.sampled_from(
    [
        *("restart", "success_exit_codes", "no_restart_exit_codes", "start_timeout", "health_interval", "heartbeat"),
        *("after", "limits", "env", "env_file", "inherit_env", "nice", "cpus"),
        *("instances", "execution", "concurrency", "state", "spare", "scope", "queue_size", "retries", "cancel_grace"),
    ]
)
_tables = st.dictionaries(_keys, _values, max_size=6).map(lambda table: {"path": "p", **table})


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _tables, min_size=1), st.binary(max_size=60))
def test_any_values_give_a_manifest_or_its_errors(plugins: dict[str, Any], env_file: bytes) -> None:
    manifest, problems = read_text(tomli_w.dumps({"plugins": plugins}), {"x.env": env_file})
    assert isinstance(manifest, Manifest) is not any(problem.severity == "error" for problem in problems)
    assert all(str(problem).isprintable() for problem in problems)
    assert all(problem.line is None or problem.line >= 1 for problem in problems)
