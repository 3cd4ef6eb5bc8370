"""What is passed on of our own environment, and what an env_file adds to it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import HOST, FakeFiles, errors_of, notes_of, read_text, spec_of

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.env_file import EnvLine, variables_in
from malbox_cli.manifest.environment import ESSENTIAL, inherited
from malbox_cli.manifest.files import Kind, Look
from malbox_cli.manifest.findings import Findings
from plugin_runtime.collecting import Collecting
from plugin_runtime.environment import SET_BY_SUPERVISOR, PluginEnvironment, Source
from plugin_runtime.ports.domain import Domain

ENVIRON = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C",
    "LC_ALL": "C",
    "LC_": "",
    "XLC_ALL": "",
    "DB_PASSWORD": "x",
    "A.B": "",
    "AxB": "",
    "MALBOX_MANIFEST": "m",
    "MALBOX_": "",
}


@pytest.mark.parametrize(
    ("inherit", "names"),
    [
        (True, "PATH HOME LANG LC_ALL LC_ XLC_ALL DB_PASSWORD A.B AxB"),
        (("*",), "PATH HOME LANG LC_ALL LC_ XLC_ALL DB_PASSWORD A.B AxB"),
        (ESSENTIAL, "PATH HOME LANG LC_ALL LC_"),
        ((), ""),
        (("PATH", "absent"), "PATH"),
        (("LC_*",), "LC_ALL LC_"),
        (("*LC_*",), "LC_ALL LC_ XLC_ALL"),
        (("*A*", "HOME"), "PATH HOME LANG LC_ALL XLC_ALL DB_PASSWORD A.B AxB"),
        (("A.B",), "A.B"),
        (("path", "H?ME", "[P]ATH"), ""),
        (("MALBOX_MANIFEST", "MALBOX_*"), ""),
    ],
)
def test_what_is_named_is_passed_on_and_nothing_of_ours(inherit: object, names: str) -> None:
    kept = inherited(ENVIRON, inherit)  # type: ignore[arg-type]
    assert kept == {name: ENVIRON[name] for name in names.split()}


@given(
    st.dictionaries(st.text(max_size=6), st.text(max_size=3)),
    st.lists(st.text(alphabet="*AB.\n", max_size=5), max_size=4).map(tuple),
)
def test_what_is_passed_on_is_a_part_of_the_environment(environ: dict[str, str], inherit: tuple[str, ...]) -> None:
    kept = inherited(environ, inherit)
    assert kept.items() <= environ.items()
    assert {name for name in environ if name in inherit and not name.startswith("MALBOX_")} <= set(kept)


def test_what_a_manifest_may_not_set_is_what_the_supervisor_sets() -> None:
    told = PluginEnvironment(
        plugin_id="a",
        supervisor_pid=1,
        instance="i",
        domain=Domain("/r", "p"),
        config={"a": "b"},
        iceoryx2="0.10.0",
        heartbeat=1.0,
        verbose=True,
        concurrency=2,
        debug="{}",
        debugger="127.0.0.1:5678",
        log_mark="k",
        log_filter="info",
        artifacts="/a",
        collect=Collecting(log_folder="/b"),
        listeners=("b",),
        sources=(Source("c-1", "c", 0),),
    )
    assert set(told.variables()) == SET_BY_SUPERVISOR


def test_an_env_file_adds_variables_over_which_env_decides() -> None:
    text = (
        "\ufeff# a comment\n\nA=1\nexport B = 'two words' # why\r\nC=\n"
        'D="a\\nb"\nE=${A} $HOME\nF=x#y\nG="line\nbreak"\n'
    )
    files = {"sub/p.env": text.encode()}
    spec = spec_of('env_file = "sub/p.env"\nenv = { C = "over" }', files)
    assert spec.env == {
        "A": "1",
        "B": "two words",
        "C": "over",
        "D": "a\nb",
        "E": "${A} $HOME",
        "F": "x#y",
        "G": "line\nbreak",
    }


BAD_LINE = "is no assignment; write NAME=VALUE, or NAME='VALUE' where there are spaces or quotes in it"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("A=1\nhunter2\n", [f"2: {BAD_LINE}"]),
        ("\n\n  A B=hunter2\nC=1\nD\n", [f"3: {BAD_LINE}", f"5: {BAD_LINE}"]),
        ("A=1\r\nhun ter2\r\n\r\nhunter2\r\nB=1\r\n=2\r\n", [f"2: {BAD_LINE}", f"4: {BAD_LINE}", f"6: {BAD_LINE}"]),
        ('A="hunter2\nB=1\n', [f"1: {BAD_LINE}"]),
        (
            "MALBOX_INSTANCE=hunter2\n",
            ["1: MALBOX_INSTANCE: is set by malbox itself for every plugin; remove it"],
        ),
        (
            "'A=B'=hunter2",
            ["1: \"A=B\": 'A=B' cannot be the name of an environment variable: it has to be without '=' and not empty"],
        ),
        ("A='hunter2\0'", ["1: A: has a NUL character in it, which no program can be given; remove it"]),
    ],
)
def test_a_line_that_is_wrong_is_named_by_its_file_and_line_without_what_stands_in_it(
    text: str, problems: list[str]
) -> None:
    found = errors_of('env_file = "p.env"', {"p.env": text.encode()})
    assert found == [f"p.env:{problem}" for problem in problems]
    assert "hunter2" not in "".join(found)


def test_a_name_that_is_set_twice_is_noted_and_the_last_counts() -> None:
    files = {"p.env": b"A=1\nB=2\nA=3\n"}
    assert notes_of('env_file = "p.env"', files) == ["p.env:3: A: is set twice, first in line 1; the last counts"]
    manifest, _ = read_text('[plugins.a]\npath = "p"\nenv_file = "p.env"\n', files)
    assert manifest is not None
    assert manifest.plugins[0].env == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            'env_file = "absent"',
            "the file '/m/absent' does not exist; correct env_file, which is relative to the manifest's folder",
        ),
        ('env_file = "p"', "'/m/p' is a folder, but env_file names a file of NAME=VALUE lines; correct it"),
        ('env_file = ""', 'is empty; write a file of NAME=VALUE lines such as "yara.env", or remove it'),
        ("env_file = []", 'is an array, expected a file of NAME=VALUE lines such as "yara.env"'),
    ],
)
def test_a_file_that_is_not_there_is_a_problem_of_the_manifest(body: str, message: str) -> None:
    assert errors_of(body) == [f"plugins.toml:3: plugins.a.env_file: {message}"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"A=1\nB=\xff\n", "p.env:2: is not UTF-8: the byte 0xff cannot stand there; save the file as UTF-8"),
        (b"#" * (1 << 20) + b"\n", "p.env: is larger than 1 MiB; a file of this kind has a few lines"),
    ],
)
def test_a_file_that_is_no_text_of_a_few_lines_is_a_problem(data: bytes, problem: str) -> None:
    assert errors_of('env_file = "p.env"', {"p.env": data}) == [problem]


class SealedEnvFile(FakeFiles):
    """A disk on which p.env cannot be looked at, or looked at and not read."""

    def __init__(self, *, seen: bool) -> None:
        super().__init__(b'[plugins.a]\npath = "p"\nenv_file = "p.env"\n', b"", {"p.env": b""})
        self._seen = seen

    def look(self, path: Path) -> Look:
        if path.name == "p.env" and not self._seen:
            return Look(Kind.UNREACHABLE, reason="Sealed")
        return super().look(path)

    def read(self, path: Path, limit: int) -> bytes:
        if path.name == "p.env":
            raise PermissionError(13, "Sealed")
        return super().read(path, limit)


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (True, "/m/p.env: cannot be read: Sealed"),
        (
            False,
            "/m/plugins.toml:3: plugins.a.env_file: the file '/m/p.env' cannot be looked at: Sealed",
        ),
    ],
)
def test_a_file_that_may_not_be_read_is_a_problem_with_the_systems_reason(seen: bool, problem: str) -> None:
    path = Path("/m/plugins.toml")
    manifest, problems = Reader(path, path, SealedEnvFile(seen=seen), HOST, read_dotenv).read()
    assert manifest is None
    assert [str(each) for each in problems if each.severity == "error"] == [problem]


def test_a_file_that_two_plugins_share_is_reported_once_and_beside_the_other_problems() -> None:
    body = 'env_file = "p.env"\nnice = 99\n[plugins.b]\ncommand = ["absent"]\nenv_file = "p.env"'
    assert [problem.partition(": ")[0] for problem in errors_of(body, {"p.env": b"x\ny\n"})] == [
        "plugins.toml:4",
        "plugins.toml:6",
        "p.env:1",
        "p.env:2",
    ]


@given(st.text(alphabet="AB='\"# \n\r\\$\0é", max_size=40) | st.text(max_size=30))
def test_any_text_is_variables_or_problems(text: str) -> None:
    findings = Findings()
    lines = read_dotenv(text)
    variables = variables_in(lines, findings)
    count = text.count("\n") + text.count("\r") + 1
    assert all(1 <= line.line <= count for line in lines)
    assert findings.has_errors or all(
        name and "=" not in name and "\0" not in name + value for name, value in variables.items()
    )


def test_lines_are_counted_from_the_assignment_and_not_from_the_blanks_before() -> None:
    assert read_dotenv("\n\n # x\n\n  A=1\nB\n\n\n?x y\n") == (
        EnvLine(5, "A", "1"),
        EnvLine(6, "B"),
        EnvLine(9),
    )
