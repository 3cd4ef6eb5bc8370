"""`malbox smoke`: the smoke tests of a manifest against real processes."""

import json
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from e2e_harness import PLUGINS, Done, Place

ECHO = f'[plugins.echo]\npath = "{PLUGINS / "echo"}"\n'
RAISES = f'[plugins.raises]\npath = "{PLUGINS / "raises"}"\n'
PASSES = """
[[plugins.echo.smoke]]
name = "small"
text = "hello"
config = { stat = "1", config = "1" }
results = ["stat", "config"]
json = { "stat:$.size" = 5, "config:$.task.stat" = "1" }
"""
FAILS = """
[[plugins.raises.smoke]]
hex = "00"
results = ["after"]
"""


def rows(done: Done) -> list[dict[str, Any]]:
    """What it printed, by the names of the plugins."""
    return [json.loads(line) for line in done.out.splitlines()]


def test_what_holds_passes_and_nothing_is_written_to_the_state_folder(place: Place) -> None:
    sample = place.sample(b"four", "a file")
    place.write_manifest(
        f'{ECHO}{PASSES}[[plugins.echo.smoke]]\nsample = "{sample.name}"\nconfig = {{ stat = "1" }}\n'
        'json = { "stat:$" = { size = 4 } }\n'
    )

    done = place.malbox("smoke", "--junit", "out.xml")

    assert done.code == 0, done
    assert "ok   echo small (" in done.out
    assert "ok   echo #2 (" in done.out
    assert "2 smoke tests, 0 failed" in done.err
    assert not (place.folder / ".malbox").exists()
    top = ElementTree.parse(place.folder / "out.xml").getroot()
    assert (top.get("tests"), top.get("failures")) == ("2", "0")


def test_what_does_not_hold_fails_with_every_reason(place: Place) -> None:
    place.write_manifest(ECHO + PASSES + RAISES + FAILS)

    done = place.malbox("smoke", "--json", "--junit", "out.xml")

    assert done.code == 1, done
    by_plugin = {row["plugin"]: row for row in rows(done)}
    assert by_plugin["echo"]["passed"] is True
    failed = by_plugin["raises"]
    assert (failed["passed"], failed["outcome"], failed["name"]) == (False, "failed", "#1")
    assert "ValueError: the header has no magic" in failed["failures"][0]
    assert failed["failures"][1] == "there is no result 'after'; there is 'before'"
    top = ElementTree.parse(place.folder / "out.xml").getroot()
    assert (top.get("tests"), top.get("failures")) == ("2", "1")


def test_the_plugins_named_are_tested_alone_with_those_they_need(place: Place) -> None:
    place.write_manifest(f'{ECHO}after = ["raises"]\n{PASSES}{RAISES}{FAILS}')

    done = place.malbox("smoke", "echo", "--json")

    assert done.code == 0, done
    assert [row["plugin"] for row in rows(done)] == ["echo"]


def test_a_failure_and_a_time_limit_can_be_what_is_wanted(place: Place) -> None:
    place.write_manifest(
        f'{RAISES}[[plugins.raises.smoke]]\ntext = ""\noutcome = "failed"\nerror = "no magic"\n'
        f'{ECHO}[[plugins.echo.smoke]]\ntext = ""\nconfig = {{ until = "/nowhere" }}\ntimeout = "100ms"\n'
        'outcome = "timeout"\n'
        '[[plugins.echo.smoke]]\ntext = ""\nconfig = { until = "/nowhere" }\ntimeout = "100ms"\n'
    )

    done = place.malbox("smoke", "--json")

    assert done.code == 1, done
    assert {(row["plugin"], row["name"]): row["passed"] for row in rows(done)} == {
        ("raises", "#1"): True,
        ("echo", "#1"): True,
        ("echo", "#2"): False,
    }


def test_a_sample_may_be_wanted_to_end_its_plugin(place: Place) -> None:
    place.write_manifest(
        f'[plugins.dies]\npath = "{PLUGINS / "os_exits"}"\nrestart = "always"\n'
        '[[plugins.dies.smoke]]\ntext = ""\noutcome = "failed"\n'
    )

    done = place.malbox("smoke", "--json")

    assert done.code == 0, done


def test_a_large_json_result_is_looked_into_too(place: Place) -> None:
    place.write_manifest(
        f'{ECHO}[[plugins.echo.smoke]]\ntext = ""\nconfig = {{ json_size = "300000" }}\n'
        'json = { "text:$" = "short" }\n'
    )

    done = place.malbox("smoke", "--json")

    assert done.code == 1, done
    assert rows(done)[0]["failures"][0].startswith('text:$ is "xxxx')


def test_a_plugin_that_cannot_be_started_fails_its_tests(place: Place) -> None:
    place.write_manifest(
        f'[plugins.gone]\npath = "{PLUGINS / "exits_before_ready"}"\n[[plugins.gone.smoke]]\ntext = ""\n'
        '[[plugins.gone.smoke]]\ntext = ""\noutcome = "failed"\n'
    )

    done = place.malbox("smoke", "--json")

    assert done.code == 1, done
    assert [row["passed"] for row in rows(done)] == [False, False]
    assert ["the plugin was never READY"] in [row["failures"] for row in rows(done)]


def test_a_sample_that_is_gone_fails_its_test_even_where_a_failure_is_wanted(place: Place) -> None:
    place.write_manifest(f'{ECHO}[[plugins.echo.smoke]]\nsample = "gone"\noutcome = "failed"\n')

    done = place.malbox("smoke", "--json")

    assert done.code == 1, done
    assert rows(done)[0]["failures"] == [f"there is no sample {place.folder / 'gone'}"]


def test_a_manifest_without_a_test_or_with_a_wrong_one_is_told_so(place: Place) -> None:
    place.write_manifest(ECHO + RAISES + FAILS)
    none = place.malbox("smoke", "echo")
    place.write_manifest(f'{ECHO}[[plugins.echo.smoke]]\nverdict = "evil"\n')
    wrong = place.malbox("smoke")

    assert none.code == 2, none
    assert "has no smoke test of echo: add a table [[plugins.echo.smoke]]" in none.err
    assert wrong.code == 2, wrong
    assert "plugins.toml:4: plugins.echo.smoke[0].verdict: is 'evil'" in wrong.err


def test_an_xml_that_cannot_be_written_is_told_of(place: Place) -> None:
    place.write_manifest(ECHO + PASSES)

    done = place.malbox("smoke", "--junit", "no/such/folder.xml")

    assert done.code == 1, done
    assert "malbox: cannot write no/such/folder.xml: No such file or directory" in done.err


def test_interrupted_it_says_what_was_not_run(place: Place) -> None:
    tests = '[[plugins.echo.smoke]]\ntext = ""\nconfig = { until = "/nowhere", progress = "1" }\n'
    place.write_manifest(f"{ECHO}{tests * 2}")
    running = place.start("smoke", "--json", "-v")
    running.wait_for("echo: READY")
    running.signal(signal.SIGINT)

    done = running.wait()

    assert done.code == 130, done
    assert [row["passed"] for row in rows(done)] == [False, False]


def test_a_supervisor_that_runs_is_left_alone(place: Place) -> None:
    manifest: Path = place.write_manifest(ECHO + PASSES)
    with place.up(manifest):
        done = place.malbox("smoke")
        assert done.code == 0, done
        assert place.malbox("tasks", "--json").out == ""
