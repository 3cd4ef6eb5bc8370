"""Every bad manifest gets one clear message, in its line."""

import os
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from malbox_cli.manifest.load import check_manifest, load_manifest
from malbox_cli.manifest.specs import ManifestError, Problem

WriteTree = Callable[[Mapping[str, str]], Path]

PLUGIN = '[plugins.good]\npath = "good"\n'
GUEST = '[plugin]\nname = "g"\nversion = "1.0.0"\ntype = "guest"\n'


@dataclass(frozen=True)
class Bad:
    """A manifest, what lies around it, and where and in which words it is refused."""

    id: str
    text: str
    line: int | None
    where: str
    fragments: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    file: str = "plugins.toml"


def plugin(body: str) -> str:
    return f"{PLUGIN}{body}\n"


MANIFEST_CASES = [
    # the file as a whole
    Bad("empty", "", None, "", ("is empty", "malbox init")),
    Bad("only_comments", "# nothing\n\n", None, "", ("is empty", "[plugins.yara]")),
    Bad("no_plugins", '[malbox]\ndomain = "lab"\n', None, "", ("has no plugin", "[plugins.yara]")),
    Bad("empty_plugins", "[malbox]\n[plugins]\n", 2, "plugins", ("has no plugin",)),
    Bad("not_toml", PLUGIN + "env = { a = }\n", 3, "", ("is not TOML", "invalid value", "column 13")),
    Bad("not_finished", PLUGIN + "config = {\n\n", 3, "", ("is not TOML",)),
    Bad("string_not_closed", 'a = """\n\n', 1, "", ("is not TOML", "unterminated string")),
    Bad("too_deep", PLUGIN + "a = " + "[" * 5000 + "\n", None, "", ("nested too deeply",)),
    Bad("endless_number", PLUGIN + "a = " + "1" * 5000 + "\n", 3, "", ("too many digits",)),
    Bad("too_large", "#" * (1 << 20) + "\n" + PLUGIN, None, "", ("larger than 1 MiB",)),
    Bad("two_tables", PLUGIN + "\n" + PLUGIN, 4, "plugins.good", ("two tables [plugins.good]", "first is in line 1")),
    Bad(
        "inline_and_table", '[plugins]\na = { path = "good" }\n[plugins.a]\n', 3, "plugins.a", ("two tables", "line 2")
    ),
    Bad("key_twice", plugin('path = "good"'), 3, "plugins.good.path", ("the key 'path' stands twice", "line 2")),
    Bad("key_twice_inline", plugin('config = { a = "", a = "" }'), 3, "", ("duplicate inline table key 'a'",)),
    # keys and types
    Bad("unknown_top", "[plugin.a]\n", 1, "plugin", ("not a key", "did you mean 'plugins'?", "malbox, plugins")),
    Bad("unknown_setting", "[malbox]\nstatedir = 1\n" + PLUGIN, 2, "malbox.statedir", ("did you mean 'state_dir'?",)),
    Bad(
        "unknown_key",
        plugin("enviroment = {}"),
        3,
        "plugins.good.enviroment",
        ("not a key that is known", "did you mean 'env'?"),
    ),
    Bad("unknown_close", plugin('start-timeout = "1s"'), 3, "plugins.good.start-timeout", ("'start_timeout'?",)),
    Bad("malbox_type", "malbox = 1\n" + PLUGIN, 1, "malbox", ("the integer 1", "expected a table", "[malbox]")),
    Bad("plugins_type", "plugins = true\n", 1, "plugins", ("the boolean true", "[plugins.yara]")),
    Bad("plugins_array", '[[plugins]]\npath = "good"\n', 1, "plugins", ("an array", "[plugins.yara]")),
    Bad(
        "key_of_plugins",
        '[plugins]\npath = "good"\n',
        2,
        "plugins.path",
        ("the string 'good'", "a table of one plugin"),
    ),
    Bad("path_type", "[plugins.a]\npath = 3\n", 2, "plugins.a.path", ("the integer 3", "such as")),
    Bad("path_empty", '[plugins.a]\npath = ""\n', 2, "plugins.a.path", ("is empty",)),
    Bad("path_nul", '[plugins.a]\npath = "a\\u0000"\n', 2, "plugins.a.path", ("NUL",)),
    Bad("command_type", '[plugins.a]\ncommand = "x y"\n', 2, "plugins.a.command", ("the string 'x y'", '["{python}"')),
    Bad("command_item", '[plugins.a]\ncommand = ["x",\n1.5]\n', 2, "plugins.a.command[1]", ("the float 1.5", '"1.5"')),
    Bad("command_nul", '[plugins.a]\ncommand = ["x\\u0000"]\n', 2, "plugins.a.command[0]", ("NUL",)),
    Bad("command_none", "[plugins.a]\ncommand = []\n", 2, "plugins.a.command", ("names no program",)),
    Bad("command_blank", '[plugins.a]\ncommand = [""]\n', 2, "plugins.a.command", ("names no program",)),
    Bad("env_type", plugin('env = ["A=1"]'), 3, "plugins.good.env", ("an array", 'env = { RULES = "rules/" }')),
    Bad("env_value", plugin("env = { A = 1 }"), 3, "plugins.good.env.A", ("the integer 1", 'in quotes: "1"')),
    Bad("env_name", plugin('env = { "A=B" = "" }'), 3, 'plugins.good.env."A=B"', ("'A=B'", "without '='")),
    Bad("env_no_name", plugin('env = { "" = "" }'), 3, 'plugins.good.env.""', ("not empty",)),
    Bad("env_nul", plugin('env = { A = "\\u0000" }'), 3, "plugins.good.env.A", ("NUL",)),
    Bad("env_nul_name", plugin('env = { "a\\u0000" = "" }'), 3, "plugins.good.env", ("environment variable",)),
    Bad("env_ours", plugin('env = { MALBOX_PLUGIN_ID = "x" }'), 3, "plugins.good.env", ("set by malbox itself",)),
    Bad("config_int", plugin("[plugins.good.config]\nmax = 10"), 4, "plugins.good.config.max", ('in quotes: "10"',)),
    Bad("config_bool", plugin("config.deep = true"), 3, "plugins.good.config.deep", ("boolean", 'in quotes: "true"')),
    Bad("config_float", plugin("config = { x = 0.5 }"), 3, "plugins.good.config.x", ('in quotes: "0.5"',)),
    Bad("config_date", plugin("config = { x = 2020-01-02 }"), 3, "plugins.good.config.x", ('in quotes: "2020-01-02"',)),
    Bad("config_table", plugin("config.x.y = 1"), 3, "plugins.good.config.x", ("a table", "are strings")),
    Bad("config_huge", plugin(f"config.x = 0x{'f' * 5000}"), 3, "plugins.good.config.x", ("very many digits",)),
    Bad("config_nul", plugin('config = { x = "\\u0000" }'), 3, "plugins.good.config.x", ("NUL",)),
    Bad("config_nul_key", plugin('config = { "\\u0000" = "" }'), 3, "plugins.good.config", ("NUL",)),
    # durations and names
    Bad("timeout_int", plugin("start_timeout = 30"), 3, "plugins.good.start_timeout", ("the integer 30", '"30s"')),
    Bad("timeout_bool", plugin("task_timeout = true"), 3, "plugins.good.task_timeout", ("the boolean true", '"300s"')),
    Bad("timeout_unit", plugin('start_timeout = "30sec"'), 3, "plugins.good.start_timeout", ("did you mean 's'?",)),
    Bad("timeout_no_unit", plugin('start_timeout = "30"'), 3, "plugins.good.start_timeout", ("has no unit",)),
    Bad("timeout_negative", plugin('task_timeout = "-1s"'), 3, "plugins.good.task_timeout", ("cannot be negative",)),
    Bad("timeout_zero", plugin('task_timeout = "0ms"'), 3, "plugins.good.task_timeout", ("more than zero",)),
    Bad("stop_timeout", '[malbox]\nstop_timeout = "x"\n' + PLUGIN, 2, "malbox.stop_timeout", ("not a duration",)),
    Bad("state_dir", "[malbox]\nstate_dir = []\n" + PLUGIN, 2, "malbox.state_dir", ("an array", ".malbox")),
    Bad("domain_chars", '[malbox]\ndomain = "a b"\n' + PLUGIN, 2, "malbox.domain", ("'a b'", "1 to 24")),
    Bad("domain_long", f'[malbox]\ndomain = "{"a" * 25}"\n' + PLUGIN, 2, "malbox.domain", ("1 to 24",)),
    Bad("domain_line_end", '[malbox]\ndomain = "a\\n"\n' + PLUGIN, 2, "malbox.domain", ("1 to 24",)),
    Bad("id_chars", '[plugins."a b"]\npath = "good"\n', 1, 'plugins."a b"', ("'a b'", "cannot be a plugin's id")),
    Bad("id_empty", '[plugins.""]\npath = "good"\n', 1, 'plugins.""', ("cannot be a plugin's id",)),
    Bad("id_long", f'[plugins.{"a" * 64}]\npath = "good"\n', 1, f"plugins.{'a' * 64}", ("1 to 63",)),
    # folders and programs
    Bad("nothing_to_run", '[plugins.a]\nenv = { A = "" }\n', 1, "plugins.a", ("neither path nor command", "[")),
    Bad("no_folder", '[plugins.a]\npath = "absent"\n', 2, "plugins.a.path", ("absent'", "does not exist", "relative")),
    Bad("folder_is_file", '[plugins.a]\npath = "f"\n', 2, "plugins.a.path", ("is a file", "command ="), {"f": ""}),
    Bad("names_its_file", '[plugins.a]\npath = "good/plugin.toml"\n', 2, "plugins.a.path", ("the folder it is in",)),
    Bad("no_plugin_toml", '[plugins.a]\npath = "d"\n', 2, "plugins.a.path", ("has no plugin.toml",), {"d/main.py": ""}),
    Bad(
        "plugin_toml_is_folder",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("is a folder", "has to be a file"),
        {"d/plugin.toml/x": ""},
    ),
    Bad(
        "nothing_in_folder",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("nothing to run", "no binary", "main.py", "'d'"),
        {"d/plugin.toml": '[plugin]\nname = "d"\n'},
    ),
    Bad(
        "no_binary",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("says binary = 'run'", "d/run' does not exist"),
        {"d/plugin.toml": '[plugin]\nbinary = "run"\n', "d/main.py": ""},
    ),
    Bad(
        "no_script",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("d/run.py' does not exist",),
        {"d/plugin.toml": '[plugin]\nbinary = "run.py"\n'},
    ),
    Bad(
        "binary_not_executable",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("d/run' may not be executed", "chmod +x"),
        {"d/plugin.toml": '[plugin]\nbinary = "run"\n', "d/run": ""},
    ),
    Bad(
        "named_not_executable",
        '[plugins.a]\npath = "d"\n',
        2,
        "plugins.a.path",
        ("d/d' may not be executed",),
        {"d/plugin.toml": '[plugin]\nname = "d"\n', "d/d": ""},
    ),
    Bad("no_program", '[plugins.a]\ncommand = ["./x"]\n', 2, "plugins.a.command", ("x' does not exist",)),
    Bad("program_is_folder", '[plugins.a]\ncommand = ["./good"]\n', 2, "plugins.a.command", ("is a folder, not a",)),
    Bad(
        "program_below_file", '[plugins.a]\ncommand = ["good/main.py/x"]\n', 2, "plugins.a.command", ("does not exist",)
    ),
    Bad(
        "program_not_executable",
        '[plugins.a]\ncommand = ["good/main.py"]\n',
        2,
        "plugins.a.command",
        ("may not be executed", '"{python}"'),
    ),
    Bad("not_on_path", '[plugins.a]\ncommand = ["no-such-prog"]\n', 2, "plugins.a.command", ("is not on PATH",)),
    Bad(
        "mistyped_python", '[plugins.a]\ncommand = ["{pyhton}"]\n', 2, "plugins.a.command", ("did you mean '{python}'",)
    ),
    Bad("no_plugin_dir", '[plugins.a]\ncommand = ["{plugin_dir}/x"]\n', 2, "plugins.a.command", ("add path",)),
    # whose results it gets
    Bad("subscribe", plugin('subscribe = ["gud"]'), 3, "plugins.good.subscribe[0]", ("names 'gud'",)),
    Bad("subscribe_self", plugin('subscribe = ["good"]'), 3, "plugins.good.subscribe[0]", ("names the plugin itself",)),
]


def in_plugin_toml(id: str, text: str, line: int | None, where: str, *fragments: str) -> Bad:  # noqa: A002 - the case's
    files = {"d/plugin.toml": text, "d/main.py": ""}
    return Bad(id, '[plugins.a]\npath = "d"\n', line, where, fragments, files, "d/plugin.toml")


ABOUT = '[plugin]\nname = "d"\nversion = "0.1.0"\ntype = "host"\n'

PLUGIN_TOML_CASES = [
    in_plugin_toml("guest", GUEST, 4, "plugin.type", "guest plugin", "virtual machine", "remove its table"),
    in_plugin_toml("broken", "[plugin]\nname = \n", 2, "", "is not TOML"),
    in_plugin_toml("type", '[plugin]\ntype = "hots"\n', 2, "plugin.type", "did you mean 'host'?"),
    in_plugin_toml("plugin_type", "plugin = 1\n", 1, "plugin", "the integer 1", "expected a table"),
    in_plugin_toml("name", '[plugin]\nname = "a b"\n', 2, "plugin.name", "'a b'", "A-Z"),
    in_plugin_toml("name_type", "[plugin]\nname = 1\n", 2, "plugin.name", "the integer 1"),
    in_plugin_toml("version", '[plugin]\nversion = "1.0"\n', 2, "plugin.version", "semantic version", '"0.1.0"'),
    in_plugin_toml("version_zero", '[plugin]\nversion = "01.0.0"\n', 2, "plugin.version", "semantic version"),
    in_plugin_toml("authors", '[plugin]\nauthors = "me"\n', 2, "plugin.authors", "the string 'me'", "an array"),
    in_plugin_toml("binary", "[plugin]\nbinary = 1\n", 2, "plugin.binary", "the integer 1"),
    in_plugin_toml("state", ABOUT + '[runtime]\nstate = "persistant"\n', 6, "runtime.state", "'persistent'?"),
    in_plugin_toml("scoped", ABOUT + '[runtime]\nstate = "scoped"\n', 6, "runtime.state", "needs a table [scope]"),
    in_plugin_toml("execution", ABOUT + '[runtime]\nexecution = "x"\n', 6, "runtime.execution", '"unrestricted"'),
    in_plugin_toml("runtime_key", ABOUT + "[runtime]\ntimeout = 1\n", 6, "runtime.timeout", "'analysis_timeout'?"),
    in_plugin_toml(
        "timeout_zero", ABOUT + "[runtime]\nanalysis_timeout = 0\n", 6, "runtime.analysis_timeout", "than 0"
    ),
    in_plugin_toml("timeout_nan", ABOUT + "[runtime]\nanalysis_timeout = nan\n", 6, "runtime.analysis_timeout", "nan"),
    in_plugin_toml("timeout", ABOUT + '[runtime]\nanalysis_timeout = "5m"\n', 6, "runtime.analysis_timeout", "seconds"),
    in_plugin_toml(
        "threshold", ABOUT + "[runtime.stash]\nthreshold_bytes = 4095\n", 6, "runtime.stash.threshold_bytes", "4096"
    ),
    in_plugin_toml("ttl", ABOUT + "[runtime.stash]\nttl_secs = 0\n", 6, "runtime.stash.ttl_secs", "at least 1"),
    in_plugin_toml(
        "stash_key", ABOUT + "[runtime.stash]\nttl_sec = 1\n", 6, "runtime.stash.ttl_sec", "did you mean 'ttl_secs'"
    ),
    in_plugin_toml("port", ABOUT + "[runtime]\nport = 80\n", 6, "runtime.port", "at least 1024"),
    in_plugin_toml("paths", ABOUT + '[runtime.paths]\nlog_dir = "x"\n', 6, "runtime.paths.log_dir", "absolute"),
    in_plugin_toml(
        "collect_key", ABOUT + "[runtime.auto_collect.artifact]\n", 5, "runtime.auto_collect.artifact", "'artifacts'?"
    ),
    in_plugin_toml(
        "collect_enabled",
        ABOUT + "[runtime.auto_collect.artifacts]\nenabled = 1\n",
        6,
        "runtime.auto_collect.artifacts.enabled",
        "true or false",
    ),
    in_plugin_toml(
        "collect_include",
        ABOUT + "[runtime.auto_collect.external_logs]\ninclude = [1]\n",
        6,
        "runtime.auto_collect.external_logs.include[0]",
        "expected a string",
    ),
    in_plugin_toml(
        "collect_size",
        ABOUT + "[runtime.auto_collect.artifacts]\nmax_file_size = -1\n",
        6,
        "runtime.auto_collect.artifacts.max_file_size",
        "at least 0",
    ),
    in_plugin_toml("subscribe", ABOUT + '[events]\nsubscribe = "x"\n', 6, "events.subscribe", "an array"),
    in_plugin_toml("filter", ABOUT + "[events.filters]\nX = 1\n", 6, "events.filters.X", "expected a table"),
    in_plugin_toml("scope", ABOUT + "[scope]\nplugins = 1\n", 6, "scope.plugins", "an array"),
    in_plugin_toml("result", ABOUT + "[results]\nx = 1\n", 6, "results.x", "expected a table"),
    in_plugin_toml("result_name", ABOUT + f"[results.{'x' * 256}]\n", 5, f"results.{'x' * 256}", "1 to 255 bytes"),
    in_plugin_toml("visible", ABOUT + '[results.x]\nuser_visible = "yes"\n', 6, "results.x.user_visible", "true or"),
]


@pytest.mark.parametrize("bad", MANIFEST_CASES + PLUGIN_TOML_CASES, ids=lambda bad: f"{Path(bad.file).stem}-{bad.id}")
def test_what_is_wrong_is_one_problem_with_file_line_and_key(
    bad: Bad, write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_tree({**bad.files, "plugins.toml": bad.text}))
    manifest, problems = check_manifest(Path("plugins.toml"))
    assert manifest is None
    errors = [problem for problem in problems if problem.severity == "error"]
    assert len(errors) == 1, errors
    (problem,) = errors
    assert (str(problem.file), problem.line) == (bad.file, bad.line)
    assert problem.where.startswith(bad.where)
    assert [fragment for fragment in bad.fragments if fragment not in problem.message] == []
    assert str(problem).isprintable()
    with pytest.raises(ManifestError) as caught:
        load_manifest(Path("plugins.toml"))
    assert caught.value.problems == (problem,)
    assert str(caught.value) == str(problem)


def test_a_problem_is_one_line_of_file_line_key_and_message() -> None:
    problem = Problem(file=Path("plugins.toml"), line=12, where="plugins.yara.path", message="is empty")
    assert str(problem) == "plugins.toml:12: plugins.yara.path: is empty"
    whole = Problem(file=Path("x\n\x1b[31m"), line=None, where="", message="does not exist")
    assert str(whole) == "x\\n\\x1b[31m: does not exist"


def test_a_missing_manifest_is_told_how_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=re.escape("plugins.toml: does not exist; 'malbox init' writes one")):
        load_manifest(tmp_path / "plugins.toml")


def test_a_manifest_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"is a folder; name the manifest in it"):
        load_manifest(tmp_path)


def test_a_manifest_that_is_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plugins.toml")
    with pytest.raises(ManifestError, match="is neither a file nor a folder"):
        load_manifest(tmp_path / "plugins.toml")


def test_a_manifest_that_is_not_utf8_is_refused_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(ManifestError, match=r"plugins\.toml:2: is not UTF-8: the byte 0xff"):
        load_manifest(tmp_path / "plugins.toml")


def test_a_path_that_no_file_can_have_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises(ManifestError, match="cannot be read"):
            load_manifest(tmp_path / name)


def test_a_current_folder_that_is_gone_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ManifestError, match="the current folder is not there any more"):
        load_manifest(Path("plugins.toml"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_problem_with_the_systems_reason(write_tree: WriteTree) -> None:
    folder = write_tree({"plugins.toml": PLUGIN})
    (folder / "good/plugin.toml").chmod(0)
    with pytest.raises(ManifestError, match=r"good/plugin\.toml: cannot be read: Permission denied"):
        load_manifest(folder / "plugins.toml")
    (folder / "plugins.toml").chmod(0)
    with pytest.raises(ManifestError, match=r"plugins\.toml: cannot be read: Permission denied"):
        load_manifest(folder / "plugins.toml")


def test_all_problems_come_at_once_in_the_order_of_the_files_and_lines(write_tree: WriteTree) -> None:
    text = (
        '[malbox]\nnope = 1\n\n[plugins.b]\npath = "guest"\n\n[plugins.a]\npath = "absent"\nstart_timeout = 3\n'
        'wrong = 1\n\n[plugins."c d"]\ncommand = ["no-such-prog"]\nenv = { A = 1, B = 2 }\n'
    )
    folder = write_tree({"plugins.toml": text, "guest/plugin.toml": GUEST + '\n[results.x]\nrender = 1\nfoo = ""\n'})
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder / "plugins.toml")
    assert [(problem.file.parent.name, problem.line, problem.where) for problem in caught.value.problems] == [
        (folder.name, 2, "malbox.nope"),
        (folder.name, 8, "plugins.a.path"),
        (folder.name, 9, "plugins.a.start_timeout"),
        (folder.name, 10, "plugins.a.wrong"),
        (folder.name, 12, 'plugins."c d"'),
        (folder.name, 13, 'plugins."c d".command'),
        (folder.name, 14, 'plugins."c d".env.A'),
        (folder.name, 14, 'plugins."c d".env.B'),
        ("guest", 4, "plugin.type"),
        ("guest", 7, "results.x.render"),
    ]
    assert str(caught.value).count("\n") == 9


def test_a_plugin_toml_that_two_plugins_share_is_reported_once(write_tree: WriteTree) -> None:
    text = '[plugins.a]\npath = "g"\n[plugins.b]\npath = "g"\n'
    _, problems = check_manifest(write_tree({"plugins.toml": text, "g/plugin.toml": GUEST}) / "plugins.toml")
    assert [problem.where for problem in problems] == ["plugin.type"]


def test_a_manifest_error_survives_pickling() -> None:
    error = ManifestError((Problem(file=Path("a"), line=1, where="b", message="c"),))
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problems, str(copy)) == (error.problems, str(error))
