import json
import os
import re
import subprocess
import tomllib
import tracemalloc
from pathlib import Path
from typing import Any

import example_plugins
import pytest
import yara_x
from yara_samples import CRADLE, EICAR, ENCODED, REVERSE

from plugin_runtime import TaskCancelled

yara_rules = example_plugins.load("yara", "yara_rules")
yara_scan = example_plugins.load("yara", "yara_scan")
main = example_plugins.load("yara", "main")
Settings = yara_scan.Settings

RULES = yara_rules.compile_rules()
MIB = 2**20


def write(folder: Path, content: bytes) -> Path:
    path = folder / "sample"
    path.write_bytes(content)
    return path


def scan(path: Path, rules: yara_x.Rules = RULES, **settings: int) -> Any:
    return yara_scan.scan(rules, path, Settings(**settings))


def compiled(*rules: str) -> yara_x.Rules:
    return yara_x.compile("\n".join(rules))


def report_on(path: Path, rules: yara_x.Rules = RULES, **settings: int) -> Any:
    return json.loads(main.report(scan(path, rules, **settings)).data)


def test_a_match_has_its_metadata_tags_and_places(tmp_path: Path) -> None:
    rules = compiled(
        'rule one : red blue { meta: text = "t" number = 3 flag = true strings: $a = "needle" $b = /x{2}y/ '
        "condition: any of them }"
    )
    match = scan(write(tmp_path, b"\0\\needle..needle xxy"), rules).matches[0]
    assert (match.rule, match.namespace, match.tags) == ("one", "default", ["red", "blue"])
    assert match.meta == {"text": "t", "number": 3, "flag": True}
    places = [(string.identifier, string.offset, string.length, string.data) for string in match.strings]
    assert places == [("$a", 2, 6, "needle"), ("$a", 10, 6, "needle"), ("$b", 17, 3, "xxy")]


def test_of_a_long_string_64_bytes_are_shown_and_of_many_ten_places(tmp_path: Path) -> None:
    rules = compiled("rule one { strings: $a = /A{100}/ $b = /\\x00\\xffB/ condition: $a and $b }")
    found = scan(write(tmp_path, b"A" * 100 + b"\0\xffB" * 50), rules)
    long, *many = found.matches[0].strings
    assert (long.length, long.data) == (100, "A" * 64)
    assert [string.data for string in many] == ["\\x00\\xffB"] * 10


def test_the_key_of_a_string_in_disguise_is_given(tmp_path: Path) -> None:
    rules = compiled('rule one { strings: $a = "needle" xor(1-255) condition: $a }')
    found = scan(write(tmp_path, bytes(byte ^ 0x20 for byte in b"needle")), rules)
    assert found.matches[0].strings[0].xor_key == 0x20


def test_what_was_found_can_be_written_as_json(tmp_path: Path) -> None:
    rules = compiled('rule one { meta: odd = "\\xff" strings: $a = { 00 ff } condition: $a }')
    found = scan(write(tmp_path, b"\0\xff"), rules)
    read = json.loads(json.dumps(found.as_json_object(), allow_nan=False))
    assert read["matches"][0]["meta"] == {"odd": "\\xff"}
    assert read["matches"][0]["strings"][0]["data"] == "\\x00\\xff"


def test_of_a_large_sparse_file_the_beginning_is_scanned_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(REVERSE)
        file.truncate(4096 * MIB)
    tracemalloc.start()
    try:
        found = scan(path, max_size=2 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.size, found.scanned) == (4096 * MIB, 2 * MIB)
    assert [match.rule for match in found.matches] == ["script_reverse_shell"]
    assert peak < 5 * MIB


def test_a_scan_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    endless = compiled("rule endless { condition: for all i in (0..0x7fffffffffffffff) : (i + filesize >= 0) }")
    with pytest.raises(yara_scan.ScanTimedOut, match=r"longer than 1 s \(config timeout\)"):
        scan(write(tmp_path, b"a"), endless, timeout=1)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(yara_scan.SampleUnreadable, match=f"{kind}' is not there any more or is not a plain file"):
        scan(path)


def test_a_file_whose_name_is_not_utf8_is_scanned(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    path.write_bytes(REVERSE)
    assert len(scan(path).matches) == 1


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, {}),
        ({"max_size": "1MiB"}, {"max_size": MIB}),
        ({"timeout": "2m", "max_size": "7"}, {"timeout": 120, "max_size": 7}),
        ({"timeout": "5"}, {"timeout": 5}),
    ],
    ids=["default", "size", "minutes", "seconds"],
)
def test_settings_come_from_the_configuration(config: dict[str, str], settings: dict[str, int]) -> None:
    assert Settings.from_config(config) == Settings(**settings)


@pytest.mark.parametrize(
    ("key", "value"), [("max_size", "64MB"), ("max_size", ""), ("timeout", "0s"), ("timeout", "-1"), ("timeout", "1h")]
)
def test_a_setting_that_makes_no_sense_is_refused_by_key_and_value(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"config {key}: .* is expected, not '{re.escape(value)}'"):
        Settings.from_config({key: value})


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"nothing", {"classification": "unknown"}),
        (
            b"curl https://example.com/i | sh",
            {"classification": "unknown", "score": 20, "labels": ["script", "shell"]},
        ),
        (CRADLE, {"classification": "suspicious", "score": 70, "labels": ["powershell", "script"]}),
        (
            CRADLE + REVERSE,
            {"classification": "malicious", "score": 80, "labels": ["powershell", "script", "shell"]},
        ),
        (EICAR, {"classification": "malicious", "score": 100, "labels": ["test"]}),
    ],
    ids=["no rule", "info", "suspicious", "the worst of two", "eicar"],
)
def test_the_verdict_is_that_of_the_worst_rule(tmp_path: Path, content: bytes, verdict: dict[str, Any]) -> None:
    assert report_on(write(tmp_path, content))["verdict"] == verdict


@pytest.mark.parametrize(
    ("meta", "verdict"),
    [
        ("", {"classification": "suspicious"}),
        ('meta: severity = "high" score = 300', {"classification": "suspicious"}),
        ("meta: severity = 7 score = true attack = 1 description = 2", {"classification": "suspicious"}),
        ('meta: severity = "malicious" score = "80"', {"classification": "malicious"}),
    ],
    ids=["nothing", "out of range", "wrong types", "score as text"],
)
def test_metadata_of_other_peoples_rules_does_no_harm(tmp_path: Path, meta: str, verdict: dict[str, Any]) -> None:
    report = report_on(write(tmp_path, b"a"), compiled(f"rule other {{ {meta} condition: true }}"))
    assert report["verdict"] == verdict


def test_the_report_has_indicators_techniques_and_tables(tmp_path: Path) -> None:
    report = report_on(write(tmp_path, REVERSE))
    assert report["indicators"] == [
        {"kind": "yara_rule", "value": "script_reverse_shell", "context": "Hands a shell to another machine"}
    ]
    assert report["ttps"] == [{"id": "T1059.004", "name": "Unix Shell", "evidence": "rule script_reverse_shell"}]
    rules, strings = report["sections"][0]["blocks"]
    assert rules["rows"][0]["severity"] == "malicious"
    assert strings["rows"][0]["offset"] == REVERSE.index(b"bash")


def test_rules_of_one_technique_are_one_entry(tmp_path: Path) -> None:
    report = report_on(write(tmp_path, CRADLE + ENCODED.encode()))
    assert [one["id"] for one in report["ttps"]] == ["T1059.001"]
    assert len(report["indicators"]) == 2


def test_the_report_says_that_a_part_was_not_scanned(tmp_path: Path) -> None:
    report = report_on(write(tmp_path, b"a" * 2000), max_size=1000)
    assert report["sections"][0]["blocks"] == [
        {
            "type": "callout",
            "level": "warn",
            "text": "Only the first 1,000 of 2,000 bytes were scanned (max_size).",
        }
    ]


def test_a_task_pushes_what_the_plugin_declares_and_goes_up_to_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yar").write_text("rule mine { condition: filesize == 4 }")
    plugin = main.Yara()
    plugin.on_start({"rules": str(tmp_path)})
    context = example_plugins.RecordingContext(write(tmp_path, REVERSE), {"max_size": "4"})
    plugin.on_task(context)
    assert [match["rule"] for match in context.pushed["matches"]["matches"]] == ["mine"]
    assert context.pushed.keys() == {"matches", "report"}
    assert context.fractions == sorted(context.fractions)
    assert context.fractions[-1] == 1.0


def test_a_cancelled_task_ends_with_nothing_pushed(tmp_path: Path) -> None:
    plugin = main.Yara()
    plugin.on_start({})
    context = example_plugins.RecordingContext(write(tmp_path, REVERSE), cancelled=True)
    with pytest.raises(TaskCancelled):
        plugin.on_task(context)
    assert context.pushed == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [({"timeout": "soon"}, "config timeout: "), ({"rules": "/nowhere"}, "'/nowhere' does not exist")],
    ids=["setting", "rules"],
)
def test_a_bad_configuration_fails_the_start(config: dict[str, str], message: str) -> None:
    with pytest.raises((ValueError, yara_rules.RulesError), match=message):
        main.Yara().on_start(config)


def test_the_program_and_its_plugin_toml_agree() -> None:
    declared = tomllib.loads((example_plugins.PLUGINS / "yara" / "plugin.toml").read_text())
    assert (declared["plugin"]["name"], declared["plugin"]["version"]) == (main.NAME, main.VERSION)
    assert declared["results"].keys() == {"matches", "report"}


def test_a_missing_library_is_one_line_that_says_what_to_install() -> None:
    ended = subprocess.run(
        example_plugins.run_without("yara", "yara_x"), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == "yara needs the library yara_x: pip install 'malbox[analysis]'\n"
