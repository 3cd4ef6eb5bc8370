"""What tasks leave behind: their files as results, and their lines with a level and a task."""

import json
from pathlib import Path
from typing import Any

from e2e_harness import Place, eventually

PLUGIN = "leaves_files"


def rows(place: Place, manifest: Path, *arguments: object) -> list[dict[str, Any]]:
    done = place.malbox("logs", "--manifest", manifest, "--json", *arguments)
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def test_the_files_of_a_task_are_results_and_nothing_else_is_left(place: Place) -> None:
    manifest = place.manifest(PLUGIN)
    done = place.run(manifest, place.sample())
    assert done.code == 0, done
    results = {record["name"]: record for record in done.of("result")}
    assert sorted(results) == ["artifacts/note.txt", "artifacts/sub/dropped.bin"]
    assert Path(results["artifacts/sub/dropped.bin"]["path"]).read_bytes() == b"x" * (2 << 20)
    assert not (place.folder / ".malbox" / "artifacts").exists()


def test_what_a_killed_plugin_left_is_removed_and_no_result(place: Place) -> None:
    manifest = place.manifest(PLUGIN, **{PLUGIN: {"retries": 0, "restart": "always"}})
    with place.up(manifest, code=1):
        done = place.send(manifest, PLUGIN, place.sample(), "--set", "die=yes")
        assert done.code == 1, done
        assert done.of("result") == []
        [said] = [row for row in rows(place, manifest) if row["text"].startswith("folder ")]
        folder = Path(said["text"].removeprefix("folder "))
        assert place.folder / ".malbox" / "artifacts" in folder.parents
        eventually(lambda: not folder.exists(), "is removed")
        done = place.send(manifest, PLUGIN, place.sample())
        assert len(done.of("result")) == 2, done
    assert not (place.folder / ".malbox" / "artifacts").exists()


def test_every_line_has_its_level_and_its_task(place: Place) -> None:
    manifest = place.manifest(PLUGIN)
    done = place.run(manifest, place.sample())
    assert done.code == 0, done
    by_text = {row["text"]: row for row in rows(place, manifest) if row["source"] == "plugin"}

    def of(text: str) -> tuple[str, int | None]:
        return by_text[text]["level"], by_text[text]["task"]

    assert of("started") == ("output", None)
    assert of("malbox.plugin: strange") == ("warning", 1)
    assert of("noisy: detail") == ("debug", 1)
    assert by_text["noisy: detail"]["fields"] == {"found": 3}
    assert "quiet: dropped" not in by_text
    assert of("KeyError: 'missing'") == ("error", 1)
    assert of("IndexError: list index out of range") == ("error", 1)
    assert of("\x1eNone error 99 \x1fforged") == ("output", None)

    warned = rows(place, manifest, "--level", "warning", "--task", 1)
    assert {row["level"] for row in warned} == {"warning", "error"}
    assert {row["task"] for row in warned} == {1}
    text = place.malbox("logs", "--manifest", manifest, "--task", 1).out
    assert f"{PLUGIN} | task 1 | WARNING malbox.plugin: strange\n" in text
    assert "started" not in text
    raw = place.malbox("logs", "--manifest", manifest, "--raw").out
    assert "malbox.plugin: strange\n" in raw
    assert "WARNING" not in raw


def test_a_manifest_s_filter_goes_before_the_plugin_s(place: Place) -> None:
    manifest = place.manifest(PLUGIN, **{PLUGIN: {"log_filter": "error,noisy=warn"}})
    assert place.run(manifest, place.sample()).code == 0
    levels = {row["level"] for row in rows(place, manifest) if row["source"] == "plugin"}
    assert levels == {"output", "error"}
