"""`malbox run`: what it prints, and that it leaves nothing."""

import hashlib
import json
from pathlib import Path

import pytest
from e2e_harness import PLUGINS, REPOSITORY, Place, peak_memory

MIB = 1 << 20
TYPES = {
    "accepted": {"type", "task", "plugin", "sample", "sha256"},
    "progress": {"type", "task", "progress", "message"},
    "warning": {"type", "task", "message"},
    "result": {"type", "task", "name", "format", "size", "sha256", "number", "attempt", "data"},
    "completed": {"type", "task", "plugin", "error", "seconds", "partial"},
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def random_bytes(size: int) -> bytes:
    import random

    return random.Random(size).randbytes(size)


def test_the_example_manifest_says_of_bin_ls_what_hashlib_says(place: Place) -> None:
    done = place.run(REPOSITORY / "plugins.example.toml", "/bin/ls")

    assert done.code == 0, done
    expected = digest(Path("/bin/ls").read_bytes())
    assert {record["plugin"]: record["sha256"] for record in done.of("accepted")} == {
        "file-info": expected,
        "yara": expected,
    }
    # The numbers go on from those of the runs before: the example's state folder stays where it is.
    [task] = [record["task"] for record in done.of("accepted") if record["plugin"] == "file-info"]
    results = {record["name"]: record for record in done.of("result") if record["task"] == task}
    assert results["file-info"]["data"]["sha256"] == expected
    assert results["file-info"]["data"]["size"] == Path("/bin/ls").stat().st_size
    assert len(done.of("completed")) == 2
    place.assert_nothing_left(patience=0)


def test_each_task_is_one_stream_from_accepted_to_its_end(place: Place) -> None:
    manifest = place.manifest(echo={"config": {"progress": "3", "warn": "careful", "config": "1"}}, raises={})
    samples = [place.sample(name="one"), place.sample(b"", name="two")]

    done = place.run(manifest, *samples, "--set", "well=1")

    assert done.code == 0, done
    tasks = {record["task"] for record in done.records}
    assert tasks == {1, 2, 3, 4}
    for task in tasks:
        kinds = [record["type"] for record in done.records if record["task"] == task]
        assert kinds[0] == "accepted"
        assert kinds[-1] == "completed"
        assert kinds.count("accepted") == kinds.count("completed") == 1
    for record in done.records:
        assert set(record) == TYPES[record["type"]], record
    assert [record["message"] for record in done.of("warning")] == ["careful", "careful"]
    # Of the steps that came before the ledger had the task only the last is told.
    steps = [round(3 * r["progress"], 6) for r in done.of("progress") if r["task"] == 1]
    assert steps == [1, 2, 3][-len(steps) :]
    assert {record["sha256"] for record in done.of("accepted")} == {digest(b"a sample"), digest(b"")}


SIZES = [0, 1, MIB - 1, MIB, MIB + 1, 100 * MIB]


def test_results_of_every_size_arrive_whole(place: Place) -> None:
    done = place.run(place.manifest("echo"), place.sample(), "--set", f"sizes={','.join(map(str, SIZES))}")

    assert done.code == 0, done
    results = {record["size"]: record for record in done.of("result")}
    assert list(results) == SIZES
    for size, record in results.items():
        assert record["format"] == "bytes"
        assert record["name"] == f"bytes-{size}"
        expected = digest(random_bytes(size))
        assert record["sha256"] == expected
        assert digest(Path(record["path"]).read_bytes()) == expected


def test_the_supervisor_does_not_grow_with_a_result_that_goes_to_a_file(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest) as supervisor:
        assert place.send(manifest, "echo", place.sample()).code == 0
        before = peak_memory(supervisor.pid)

        assert place.send(manifest, "echo", place.sample(), "--set", f"sizes={100 * MIB}").code == 0

        assert peak_memory(supervisor.pid) - before < 32 * MIB


@pytest.mark.parametrize("size", [3, MIB, MIB + 1, 100 * MIB], ids=str)
def test_a_json_result_stands_in_its_record_however_large(place: Place, size: int) -> None:
    done = place.run(place.manifest("echo"), place.sample(), "--set", f"json_size={size}")

    assert done.code == 0, (done.code, done.err)
    [result] = done.of("result")
    assert result["format"] == "json"
    assert result["size"] == size
    assert result["data"] == "x" * (size - 2)


@pytest.mark.parametrize(("size", "kind"), [(MIB, "bytes"), (MIB + 1, "file")], ids=str)
def test_a_file_goes_as_bytes_up_to_the_threshold_and_by_its_path_above(place: Place, size: int, kind: str) -> None:
    pushed = place.sample(random_bytes(size), "pushed")

    done = place.run(place.manifest("echo"), place.sample(), "--set", f"file={pushed}")

    assert done.code == 0, done
    [result] = done.of("result")
    assert result["format"] == kind
    assert Path(result["path"]) != pushed
    assert digest(Path(result["path"]).read_bytes()) == result["sha256"] == digest(random_bytes(size))


def test_output_puts_every_result_below_a_folder(place: Place) -> None:
    sample = place.sample()
    manifest = place.manifest("echo", twin={"path": str(PLUGINS / "echo")})

    done = place.run(manifest, sample, "--output", "found", "--set", "sizes=5", "--set", "config=1")

    assert done.code == 0, done
    found = place.folder / "found" / f"sample-{digest(b'a sample')[:12]}"
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()) == [
        "echo/bytes-5",
        "echo/config.json",
        "twin/bytes-5",
        "twin/config.json",
    ]
    assert (found / "echo" / "bytes-5").read_bytes() == random_bytes(5)
    assert json.loads((found / "echo" / "config.json").read_text())["task"]["sizes"] == "5"
    assert {record["path"] for record in done.of("result") if "path" in record} == {
        str(found / plugin / "bytes-5") for plugin in ("echo", "twin")
    }


def test_a_task_has_the_manifests_configuration_with_set_on_top(place: Place) -> None:
    manifest = place.manifest(echo={"config": {"depth": "3", "kept": "yes"}})

    done = place.run(manifest, place.sample(), "--set", "config=1", "--set", "depth=a=b")

    [result] = done.of("result")
    assert result["data"] == {
        "start": {"depth": "3", "kept": "yes"},
        "task": {"config": "1", "depth": "a=b", "kept": "yes"},
    }


def test_only_the_plugins_that_are_named_run(place: Place) -> None:
    done = place.run(place.manifest("echo", "exits_before_ready"), place.sample(), "--plugin", "echo")

    assert done.code == 0, done
    assert [record["plugin"] for record in done.of("accepted")] == ["echo"]


def test_a_run_does_not_disturb_a_supervisor_of_the_same_manifest(place: Place) -> None:
    manifest = place.manifest(echo={"config": {"config": "1"}})
    with place.up(manifest):
        before = place.status(manifest)

        assert place.run(manifest, place.sample()).code == 0

        after = place.status(manifest)
        assert after["supervisor"]["pid"] == before["supervisor"]["pid"]
        assert after["plugins"][0]["pid"] == before["plugins"][0]["pid"]
        assert after["plugins"][0]["tasks"]["completed"] == 0
        assert place.send(manifest, "echo", place.sample()).code == 0


def test_text_for_people_has_no_escapes_where_it_is_piped(place: Place) -> None:
    manifest = place.manifest("echo", "raises")

    done = place.malbox("run", "-f", manifest, place.sample(), "--set", "progress=5", "--set", "config=1")

    assert done.code == 1
    assert "\x1b" not in done.out + done.err
    assert "ValueError: the header has no magic" in done.out
