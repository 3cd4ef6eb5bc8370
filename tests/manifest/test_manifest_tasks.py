"""The keys of a plugin's tasks, and what they, its plugin.toml and the machine say together."""

from pathlib import Path

import pytest
from manifest_disk import HOST, MANIFEST, FakeFiles, errors_of, notes_of, read_text, spec_of

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.host import Host
from malbox_cli.manifest.specs import MAX_IN_FLIGHT, Manifest, Problem, Retries

ABOUT = '[plugin]\nname = "p"\nversion = "1.0.0"\ntype = "host"\n'
TWO = '[plugins.a]\npath = "p"\n[plugins.b]\npath = "p"\n'
MANY = Host(python=Path("/python"), cpus=frozenset(range(100)))


def read_both(manifest: str, about: str) -> tuple[Manifest | None, list[str]]:
    """Return what a manifest says whose plugins have this plugin.toml, and every problem."""
    files = FakeFiles(manifest.encode(), (ABOUT + about).encode())
    found, problems = Reader(MANIFEST, Path("/m/plugins.toml"), files, HOST, read_dotenv).read()
    return found, [f"{problem.severity}: {problem}" for problem in problems]


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ("", "execution", "sequential"),
        ("", "state", "persistent"),
        ("", "queue_size", 1000),
        ("", "retries", Retries(lost=1, error=0)),
        ("", "cancel_grace", 5.0),
        ("", "spare", False),
        ("", "scope", ()),
        ('execution = "exclusive"', "execution", "exclusive"),
        ('state = "ephemeral"', "state", "ephemeral"),
        ('state = "ephemeral"\nspare = true', "spare", True),
        ("spare = false", "spare", False),
        ('state = "ephemeral"\nrestart = "on-failure"', "restart", "on-failure"),
        ('state = "scoped"\nscope = []', "scope", ()),
        ('state = "scoped"\nscope = ["a"]', "scope", ()),  # its own count anyway
        ("queue_size = 1", "queue_size", 1),
        ("retries = 0", "retries", Retries(lost=0, error=0)),
        ("retries = 3", "retries", Retries(lost=3, error=0)),
        ("retries = {}", "retries", Retries()),
        ("retries = { error = 2 }", "retries", Retries(lost=1, error=2)),
        ("retries = { lost = 0, error = 2 }", "retries", Retries(lost=0, error=2)),
        ('cancel_grace = "500ms"', "cancel_grace", 0.5),
        ("instances = 1", "id", "a"),
    ],
)
def test_a_key_says_what_it_says(body: str, field: str, expected: object) -> None:
    assert getattr(spec_of(body), field) == expected


@pytest.mark.parametrize(
    ("body", "host", "expected"),
    [
        ("", HOST, 1),
        ('execution = "sequential"', HOST, 1),
        ('execution = "exclusive"', HOST, 1),
        ('execution = "parallel"', HOST, 4),
        ('execution = "parallel"\ncpus = [0, 5]', HOST, 2),
        ('execution = "parallel"\nconcurrency = 3', HOST, 3),
        ('execution = "parallel"\nconcurrency = 32', HOST, 32),
        ('execution = "parallel"', MANY, MAX_IN_FLIGHT),
        ('execution = "unrestricted"', HOST, MAX_IN_FLIGHT),
    ],
)
def test_a_process_works_on_so_many_tasks_at_once(body: str, host: Host, expected: int) -> None:
    assert spec_of(body, host=host).concurrency == expected


@pytest.mark.parametrize("execution", ["parallel", "unrestricted"])
def test_the_process_of_one_task_works_on_one_task(execution: str) -> None:
    body = f'execution = "{execution}"\nstate = "ephemeral"\ninstances = 2'
    assert spec_of(body).concurrency == 1
    assert notes_of(body.replace("2", "1")) == [
        (
            f'plugins.toml:1: plugins.a: execution is "{execution}" and state is "ephemeral": each process has'
            " one task, and there is one process at a time; instances says how many there may be"
        )
    ]


RETRIES = "an integer such as 1, or a table such as { lost = 1, error = 0 }"


@pytest.mark.parametrize(
    ("body", "key", "message"),
    [
        ("instances = 0", "instances", "is the integer 0, but has to be at least 1; write 2, for example"),
        ("instances = 65", "instances", "is the integer 65, but has to be at most 64; write 2, for example"),
        ('instances = "2"', "instances", "is the string '2', expected an integer such as 2"),
        (
            'execution = "paralel"',
            "execution",
            (
                "is 'paralel' (did you mean 'parallel'?);"
                ' write one of "exclusive", "sequential", "parallel", "unrestricted"'
            ),
        ),
        # What follows from a key that is wrong is not told of.
        (
            'concurrency = 2\nexecution = "all"',
            "execution",
            'is \'all\'; write one of "exclusive", "sequential", "parallel", "unrestricted"',
        ),
        (
            'spare = true\nstate = "ephemeal"',
            "state",
            'is \'ephemeal\' (did you mean \'ephemeral\'?); write one of "persistent", "ephemeral", "scoped"',
        ),
        (
            'execution = "parallel"\nconcurrency = 33',
            "concurrency",
            "is the integer 33, but has to be at most 32; write 4, for example",
        ),
        (
            "concurrency = 2",
            "concurrency",
            (
                'goes only with execution = "parallel", and this plugin\'s is "sequential";'
                ' write execution = "parallel", or remove it'
            ),
        ),
        (
            'execution = "unrestricted"\nconcurrency = 2',
            "concurrency",
            (
                'goes only with execution = "parallel", and this plugin\'s is "unrestricted";'
                ' write execution = "parallel", or remove it'
            ),
        ),
        (
            'execution = "parallel"\nstate = "ephemeral"\ninstances = 2\nconcurrency = 3',
            "concurrency",
            (
                'is how many tasks a process works on at once, and with state = "ephemeral" each task has one'
                " of its own; for so many at once write instances = 3 instead"
            ),
        ),
        (
            'execution = "exclusive"\ninstances = 2',
            "instances",
            (
                'is 2, and with execution = "exclusive" one task runs at a time and nothing else beside it;'
                " write 1, or another execution"
            ),
        ),
        (
            "spare = true",
            "spare",
            (
                'is true, which goes only with state = "ephemeral", and this plugin\'s is "persistent";'
                ' write state = "ephemeral", or remove it'
            ),
        ),
        ("spare = 1", "spare", "is the integer 1, expected true or false"),
        (
            'state = "ephemeral"\nrestart = "always"',
            "restart",
            (
                'is "always", but with state = "ephemeral" there is a process only when a task needs one;'
                ' write "on-failure", or remove it'
            ),
        ),
        (
            'state = "scoped"',
            "state",
            (
                'is "scoped", which needs a scope: the plugins whose open tasks keep its process alive beside its own;'
                ' add scope = ["ID"], or a table [scope] to its plugin.toml'
            ),
        ),
        (
            "scope = []",
            "scope",
            'goes only with state = "scoped", and this plugin\'s is "persistent"; write state = "scoped", or remove it',
        ),
        (
            'state = "scoped"\nscope = "a"',
            "scope",
            "is the string 'a', expected an array of plugins' ids such as [\"unpack\"]",
        ),
        (
            'state = "scoped"\nscope = ["a", "z"]',
            "scope[1]",
            "names 'z', a plugin that the manifest does not have; its plugins are a",
        ),
        (
            'state = "scoped"\ninstances = 2\nscope = ["a-2"]',
            "scope[0]",
            "names 'a-2', one of the processes of a; write 'a', which means all of them",
        ),
        ("queue_size = 0", "queue_size", "is the integer 0, but has to be at least 1; write 1000, for example"),
        ('queue_size = "1"', "queue_size", "is the string '1', expected an integer such as 1000"),
        ("retries = -1", "retries", "is the integer -1, but has to be at least 0; write 1, for example"),
        ("retries = true", "retries", f"is the boolean true, expected {RETRIES}"),
        ('retries = "1"', "retries", f"is the string '1', expected {RETRIES}"),
        (
            "retries = { lost = 101 }",
            "retries.lost",
            "is the integer 101, but has to be at most 100; write 1, for example",
        ),
        (
            "retries = { errors = 1 }",
            "retries.errors",
            "is not a key that is known here (did you mean 'error'?); the keys are lost, error",
        ),
        (
            'cancel_grace = "0s"',
            "cancel_grace",
            "is '0s', but has to be more than zero; write a duration such as \"5s\"",
        ),
        (
            "cancel_grace = 5",
            "cancel_grace",
            'is the integer 5, expected a duration such as "5s"; put it in quotes with its unit, as in "30s"',
        ),
    ],
)
def test_a_key_that_is_wrong_is_one_problem_in_its_line(body: str, key: str, message: str) -> None:
    line = 3 + body.count("\n")
    assert errors_of(body) == [f"plugins.toml:{line}: plugins.a.{key}: {message}"]


@pytest.mark.parametrize(
    ("about", "body", "expected"),
    [
        ('[runtime]\nexecution = "parallel"\nstate = "ephemeral"\n', "instances = 1", ("parallel", "ephemeral", 1)),
        ('state = "ephemeral"\nexecution = "exclusive"\n', "", ("exclusive", "ephemeral", 1)),  # as older releases
        ('execution = "exclusive"\n[runtime]\nexecution = "parallel"\n', "", ("parallel", "persistent", 4)),
        ('[runtime]\nexecution = "parallel"\n', "concurrency = 2", ("parallel", "persistent", 2)),
        ('[runtime]\nexecution = "exclusive"\n', 'execution = "unrestricted"', ("unrestricted", "persistent", 32)),
        ('[runtime]\nstate = "scoped"\n[scope]\n', 'state = "persistent"', ("sequential", "persistent", 1)),
    ],
)
def test_what_the_manifest_does_not_say_its_plugin_toml_does(
    about: str, body: str, expected: tuple[str, str, int]
) -> None:
    manifest, problems = read_both(f'[plugins.a]\npath = "p"\n{body}\n', about)
    assert manifest is not None, problems
    (spec,) = manifest.plugins
    assert (spec.execution, spec.state, spec.concurrency) == expected


@pytest.mark.parametrize(
    ("about", "body", "scope", "problems"),
    [
        ('[runtime]\nstate = "scoped"\n[scope]\nplugins = ["b", "a", "b"]\n', "", ("b",), []),
        ('[scope]\nplugins = ["b"]\n', 'state = "scoped"', ("b",), []),
        ('[scope]\nplugins = ["b"]\n', 'state = "scoped"\nscope = []', (), []),
        ('[runtime]\nstate = "scoped"\n[scope]\ntask_types = ["file", "sample"]\n', "", (), []),
        (
            '[runtime]\nstate = "scoped"\n[scope]\ntask_types = ["file", "url"]\n',
            "",
            (),
            ["note: p/plugin.toml:8: scope.task_types[1]: is 'url', but every task of this version is one of a file"],
        ),
        (
            '[runtime]\nstate = "scoped"\n[scope]\nplugins = ["b", "bb"]\n',
            "",
            ("b",),
            [
                (
                    "note: plugins.toml:1: plugins.a: the [scope] of its plugin.toml names 'bb', a plugin that the"
                    " manifest does not have (did you mean 'b'?); without it, it has no effect"
                )
            ],
        ),
        (
            '[scope]\nplugins = ["b"]\n',
            "",
            (),
            [
                (
                    "note: plugins.toml:1: plugins.a: its plugin.toml has a table [scope], which counts only with"
                    ' state = "scoped"; its state is "persistent"'
                )
            ],
        ),
    ],
)
def test_a_scope_is_the_manifests_or_that_of_its_plugin_toml(
    about: str, body: str, scope: tuple[str, ...], problems: list[str]
) -> None:
    manifest, found = read_both(f'[plugins.a]\npath = "p"\n{body}\n[plugins.b]\ncommand = ["python"]\n', about)
    assert manifest is not None, found
    assert manifest.plugins[0].scope == scope
    assert found == problems


def test_a_scoped_plugin_toml_without_a_scope_is_one_problem() -> None:
    manifest, problems = read_both(TWO, '[runtime]\nstate = "scoped"\n')
    assert manifest is None
    assert problems == [
        (
            "error: p/plugin.toml:6: runtime.state: is 'scoped', which needs a table [scope];"
            ' add one or write "persistent"'
        )
    ]
    assert read_both(TWO, 'state = "scoped"\n')[1][0].startswith("error: p/plugin.toml:5: plugin.state: is 'scoped'")


def test_what_follows_from_a_wrong_key_of_plugin_toml_is_not_told() -> None:
    manifest, problems = read_both('[plugins.a]\npath = "p"\nconcurrency = 2\n', '[runtime]\nexecution = "x"\n')
    assert manifest is None
    assert [problem.partition(": ")[2].split(": ")[:2] for problem in problems] == [
        ["p/plugin.toml:6", "runtime.execution"]
    ]


@pytest.mark.parametrize(
    ("settings", "ledger", "copy_samples"),
    [
        ("", True, False),
        ("ledger = true\ncopy_samples = true\n", True, True),
        ("ledger = false\ncopy_samples = false\n", False, False),
    ],
)
def test_the_ledger_and_copies_of_samples_are_said_once_for_all(
    settings: str, ledger: bool, copy_samples: bool
) -> None:
    manifest, problems = read_text(f"[malbox]\n{settings}{TWO}")
    assert problems == ()
    assert manifest is not None
    assert (manifest.ledger, manifest.copy_samples) == (ledger, copy_samples)


def test_a_setting_that_is_wrong_is_one_problem_in_its_line() -> None:
    _, problems = read_text(f'[malbox]\nledger = "no"\ncopy_samples = 1\n{TWO}')
    assert list(map(str, problems)) == [
        "plugins.toml:2: malbox.ledger: is the string 'no', expected true or false",
        "plugins.toml:3: malbox.copy_samples: is the integer 1, expected true or false",
    ]
    assert all(isinstance(problem, Problem) and problem.severity == "error" for problem in problems)
