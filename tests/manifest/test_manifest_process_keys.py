"""The keys of a plugin's process: limits, niceness, processors, and what it inherits."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import HOST, errors_of, notes_of, spec_of

from malbox_cli.manifest.cpus import format_cpus, parse_cpus
from malbox_cli.manifest.environment import ESSENTIAL
from malbox_cli.manifest.specs import Limits

ROOT = dataclasses.replace(HOST, is_root=True, lowest_nice=-20)


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ("limits = {}", "limits", Limits()),
        ('limits = { memory = "32MiB" }', "limits", Limits(memory=32 << 20)),
        ('limits = { cpu_time = "1s" }', "limits", Limits(cpu_time=1)),
        ('limits = { cpu_time = "2000ms" }', "limits", Limits(cpu_time=2)),
        ('limits = { cpu_time = "1h" }', "limits", Limits(cpu_time=3600)),
        ("limits = { nofile = 64 }", "limits", Limits(nofile=64)),
        ("limits.procs = 2", "limits", Limits(procs=2)),
        ("nice = 0", "nice", 0),
        ("nice = 19", "nice", 19),
        ("cpus = [0]", "cpus", {0}),
        ("cpus = [5, 1, 1]", "cpus", {1, 5}),
        ('cpus = "0-2,5"', "cpus", {0, 1, 2, 5}),
        ('cpus = "1, 0"', "cpus", {0, 1}),
        ("inherit_env = true", "inherit_env", True),
        ("inherit_env = false", "inherit_env", ESSENTIAL),
        ("inherit_env = []", "inherit_env", ()),
        ('inherit_env = ["PATH", "LC_*", "*"]', "inherit_env", ("PATH", "LC_*", "*")),
    ],
)
def test_a_key_says_what_it_says(body: str, field: str, expected: object) -> None:
    assert getattr(spec_of(body), field) == expected


CPUS = 'an array of processors such as [0, 1], or a list such as "0-3,6"'
INHERIT = 'true, false or an array of names such as ["PATH", "LC_*"]'


@pytest.mark.parametrize(
    ("body", "key", "message"),
    [
        ("limits = 1", "limits", 'is the integer 1, expected a table such as limits = { memory = "512MiB" }'),
        (
            'limits = { mem = "1GiB" }',
            "limits.mem",
            ("is not a key that is known here (did you mean 'memory'?); the keys are memory, cpu_time, nofile, procs"),
        ),
        ("limits.memory = 512", "limits.memory", 'is the integer 512, expected a size such as "512MiB"'),
        (
            'limits.memory = "512MB"',
            "limits.memory",
            "'512MB' has the unknown unit 'MB' (did you mean 'MiB'?); the units are B, KiB, MiB, GiB, TiB",
        ),
        (
            'limits.memory = "1023KiB"',
            "limits.memory",
            "is '1023KiB', but has to be at least 1MiB; write a size such as \"512MiB\"",
        ),
        (
            'limits.cpu_time = "500ms"',
            "limits.cpu_time",
            "is '500ms', but has to be at least 1s; write a duration such as \"60s\"",
        ),
        ('limits.cpu_time = "1.5s"', "limits.cpu_time", 'is 1.5s, but counts in whole seconds; write "2s"'),
        (
            "limits.cpu_time = 60",
            "limits.cpu_time",
            'is the integer 60, expected a duration such as "60s"; put it in quotes with its unit, as in "30s"',
        ),
        (
            "limits.nofile = 63",
            "limits.nofile",
            "is the integer 63, but has to be at least 64; write 256, for example",
        ),
        (
            "limits.nofile = 1048577",
            "limits.nofile",
            "is the integer 1048577, but has to be at most 1048576; write 256, for example",
        ),
        ("limits.nofile = true", "limits.nofile", "is the boolean true, expected an integer such as 256"),
        ("limits.procs = 1", "limits.procs", "is the integer 1, but has to be at least 2; write 64, for example"),
        ("nice = 20", "nice", "is the integer 20, but has to be at most 19; write 5, for example"),
        ("nice = -21", "nice", "is the integer -21, but has to be at least -20; write 5, for example"),
        ('nice = "5"', "nice", "is the string '5', expected an integer such as 5"),
        (
            "nice = -1",
            "nice",
            "is -1, but a program of this user may go down to 0; write more, or run malbox as root",
        ),
        ("cpus = 1", "cpus", f"is the integer 1, expected {CPUS}"),
        ("cpus = []", "cpus", f"names no processor; write {CPUS}, or remove it"),
        ("cpus = [0, -1]", "cpus[1]", "is the integer -1, but has to be from 0 to 8191"),
        ("cpus = [0, 0.5]", "cpus[1]", "is the float 0.5, expected an integer from 0 to 8191"),
        ('cpus = ""', "cpus", f"is empty; write {CPUS}, or remove it"),
        ('cpus = "0-"', "cpus", "'0-' is not a list of processors such as \"0-3,6\""),
        ('cpus = "0 - 1"', "cpus", "'0 - 1' is not a list of processors such as \"0-3,6\""),
        ('cpus = "3-1"', "cpus", "'3-1' has the range 3-1, which ends before it begins"),
        ('cpus = "0-9999"', "cpus", "'0-9999' names processor 9999, but their numbers end at 8191"),
        ('cpus = "0-99999999"', "cpus", "'0-99999999' is not a list of processors such as \"0-3,6\""),
        ("cpus = [1, 7, 3, 4]", "cpus", "names processor 3-4,7, on which malbox may not run; it may run on 0-2,5"),
        ('cpus = "3"', "cpus", "names processor 3, on which malbox may not run; it may run on 0-2,5"),
        ('inherit_env = "PATH"', "inherit_env", f"is the string 'PATH', expected {INHERIT}"),
        ("inherit_env = {}", "inherit_env", f"is a table, expected {INHERIT}"),
        ("inherit_env = [1]", "inherit_env[0]", 'is the integer 1, expected a string; write it in quotes: "1"'),
        (
            'inherit_env = ["A", ""]',
            "inherit_env[1]",
            "'' cannot be the name of an environment variable: it has to be without '=' and not empty",
        ),
        (
            'inherit_env = ["A=1"]',
            "inherit_env[0]",
            "'A=1' cannot be the name of an environment variable: it has to be without '=' and not empty",
        ),
        (
            'inherit_env = ["MALBOX_*"]',
            "inherit_env[0]",
            "is 'MALBOX_*', but what begins with MALBOX_ is never passed on; set it with env, or remove it",
        ),
    ],
)
def test_a_key_that_is_wrong_is_one_problem_in_its_line(body: str, key: str, message: str) -> None:
    assert errors_of(body) == [f"plugins.toml:3: plugins.a.{key}: {message}"]


@pytest.mark.parametrize(
    "name",
    [
        *("MALBOX_PLUGIN_ID", "MALBOX_PROTOCOL", "MALBOX_SUPERVISOR_PID", "MALBOX_INSTANCE", "MALBOX_DOMAIN_ROOT"),
        *("MALBOX_DOMAIN_PREFIX", "MALBOX_CONFIG", "MALBOX_FILE_REF_THRESHOLD", "MALBOX_VERBOSE"),
    ],
)
def test_what_the_supervisor_sets_cannot_be_set_by_a_manifest(name: str) -> None:
    message = f"plugins.toml:3: plugins.a.env.{name}: is set by malbox itself for every plugin; remove it"
    assert errors_of(f'env = {{ {name} = "1" }}') == [message]


def test_little_memory_is_noted_because_other_languages_may_do_with_it() -> None:
    message = "is 24MiB, but a plugin in Python needs 32MiB before it does anything"
    assert notes_of('limits.memory = "24MiB"') == [f"plugins.toml:3: plugins.a.limits.memory: {message}"]


def test_a_limit_on_processes_is_noted_where_root_runs_it() -> None:
    message = (
        "malbox runs as root, whom a limit on processes does not bind:"
        " it holds only where the plugin gets a control group of its own"
    )
    where = "plugins.toml:4: plugins.a.limits.procs"
    assert notes_of('[plugins.a.limits]\nprocs = 64\nmemory = "1GiB"', host=ROOT) == [f"{where}: {message}"]
    assert notes_of("limits.nofile = 64", host=ROOT) == []


def test_root_may_raise_a_priority() -> None:
    assert spec_of("nice = -20", host=ROOT).nice == -20


def test_what_this_process_cannot_give_is_one_of_several_problems_at_once() -> None:
    body = 'cpus = [9]\nnice = -5\n[plugins.a.limits]\nmemory = "1KiB"\nprocs = 0\nnope = 1\n[plugins.b]\ncpus = "a"'
    assert [problem.split(": ")[:2] for problem in errors_of(body)] == [
        ["plugins.toml:3", "plugins.a.cpus"],
        ["plugins.toml:4", "plugins.a.nice"],
        ["plugins.toml:6", "plugins.a.limits.memory"],
        ["plugins.toml:7", "plugins.a.limits.procs"],
        ["plugins.toml:8", "plugins.a.limits.nope"],
        ["plugins.toml:9", "plugins.b"],
        ["plugins.toml:10", "plugins.b.cpus"],
    ]


@pytest.mark.parametrize(
    ("cpus", "text"),
    [([], ""), ([3], "3"), ([1, 0], "0-1"), ([0, 1, 2, 3, 6], "0-3,6"), ([8191, 5, 5, 7], "5,7,8191")],
)
def test_processors_are_written_in_ranges(cpus: list[int], text: str) -> None:
    assert format_cpus(cpus) == text


@given(st.sets(st.integers(0, 8191), min_size=1))
def test_processors_that_are_written_are_read_back(cpus: set[int]) -> None:
    assert parse_cpus(format_cpus(cpus)) == cpus


@given(st.text(alphabet="0123456789-, ", max_size=12) | st.text(max_size=8))
def test_any_text_names_processors_or_is_a_value_error(text: str) -> None:
    try:
        cpus = parse_cpus(text)
    except ValueError:
        return
    assert cpus
    assert max(cpus) < 8192
