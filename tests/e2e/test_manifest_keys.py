"""What keys of the manifest do to the plugins that run."""

from pathlib import Path
from typing import Any

from e2e_harness import MARK, Place

from plugin_runtime.environment import SET_BY_SUPERVISOR

SECRET = "E2E_SECRET"


def environment_of(place: Place, **table: Any) -> dict[str, str]:
    manifest = place.manifest(shows_environment=table)
    done = place.run(manifest, place.sample(), env={SECRET: "hunter2", "MALBOX_MANIFEST": str(manifest)})
    assert done.code == 0, done
    [result] = done.of("result")
    data: dict[str, str] = result["data"]
    return data


def test_a_plugin_gets_our_environment_and_nothing_that_is_meant_for_us(place: Place) -> None:
    environment = environment_of(place)

    assert environment[SECRET] == "hunter2"
    assert {name for name in environment if name.startswith("MALBOX_")} <= SET_BY_SUPERVISOR


def test_a_plugin_gets_what_it_is_to_inherit_and_what_is_set_for_it(place: Place) -> None:
    (place.folder / "p.env").write_text("FROM_FILE='a b'\nBOTH=file\n")

    environment = environment_of(
        place, inherit_env=[MARK, "PA*"], env_file="p.env", env={"BOTH": "table", "PATH": "/nowhere"}
    )

    ours = {name for name in environment if name not in SET_BY_SUPERVISOR}
    assert {"PATH", MARK, "FROM_FILE", "BOTH"} <= ours
    assert not {SECRET, "HOME"} & ours
    assert (environment["FROM_FILE"], environment["BOTH"], environment["PATH"]) == ("a b", "table", "/nowhere")


def test_a_plugin_that_inherits_nothing_runs_with_what_programs_need(place: Place) -> None:
    environment = environment_of(place, inherit_env=False)

    assert SECRET not in environment
    assert "PATH" in environment


def test_what_a_named_plugin_comes_after_runs_too_and_gets_no_sample(place: Place) -> None:
    manifest = place.manifest(
        echo={"after": ["raises"]}, raises={"after": ["shows_environment"]}, shows_environment={}, exits_before_ready={}
    )
    seen: list[str] = []

    with place.up(manifest, "echo", ready=["echo", "raises", "shows_environment"]):
        seen = [row["id"] for row in place.status(manifest)["plugins"]]
    done = place.run(manifest, place.sample(), "--plugin", "echo")

    assert seen == ["echo", "raises", "shows_environment"]
    assert done.code == 0, done
    assert [record["plugin"] for record in done.of("accepted")] == ["echo"]


def test_instances_are_processes_of_one_plugin_and_who_comes_after_it_waits_for_all(place: Place) -> None:
    manifest = place.manifest(echo={"instances": 2}, raises={"after": ["echo"]})

    with place.up(manifest, ready=["echo-1", "echo-2", "raises"]):
        by_id = {row["id"]: row for row in place.status(manifest)["plugins"]}
        waited = place.malbox("wait", "-f", manifest, "echo")
        logs = place.malbox("logs", "-f", manifest, "echo")

    assert list(by_id) == ["echo-1", "echo-2", "raises"]
    assert len({row["pid"] for row in by_id.values()}) == 3
    assert max(by_id["echo-1"]["ready_at"], by_id["echo-2"]["ready_at"]) <= by_id["raises"]["ready_at"]
    assert waited.code == 0, waited
    assert all(f"{name}: READY" in logs.out for name in ("echo-1", "echo-2"))
    assert "raises" not in logs.out


def test_an_instance_can_be_run_alone(place: Place) -> None:
    manifest = place.manifest(echo={"instances": 3})

    with place.up(manifest, "echo-2", ready=["echo-2"]):
        assert [row["id"] for row in place.status(manifest)["plugins"]] == ["echo-2"]


def test_a_circle_and_an_env_file_that_is_wrong_stop_up_before_anything_starts(place: Place) -> None:
    (place.folder / "p.env").write_text("A=1\nhunter2\n")
    manifest = place.manifest(echo={"after": ["raises"], "env_file": "p.env"}, raises={"after": ["echo"]})

    done = place.malbox("up", "-f", manifest)

    assert done.code == 2
    assert "goes round in a circle, in which none can be the first to start: echo after raises after echo" in done.err
    assert f"{Path(manifest).parent / 'p.env'}:2: is no assignment" in done.err
    assert "hunter2" not in done.err
