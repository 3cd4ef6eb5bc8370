"""What `up --dry-run` prints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from malbox_cli.manifest.specs import Limits, PluginSpec, Retries
from malbox_cli.output.plan import plan_as_json, plan_as_text

ENVIRON = {"PATH": "/bin", "GITHUB_TOKEN": "hush", "MALBOX_PLUGIN_ID": "of another", "NOTIFY": "x"}
FIRST = PluginSpec(id="first", name="first", argv=("/bin/first", "--token=hush", "a b"), cwd=Path("/f"))
SECOND = PluginSpec(
    id="second",
    name="second",
    argv=("/bin/second",),
    cwd=Path("/s"),
    env={"API_KEY": "hush", "RULES": "rules/"},
    inherit_env=("PATH",),
    config={"password": "hush", "url": "https://u:hush@host/", "depth": "3"},
    after=("first",),
    restart="on-failure",
    limits=Limits(memory=512 << 20, cpu_time=60, nofile=256, procs=8),
    nice=5,
    cpus=frozenset({0, 1, 3}),
    heartbeat=10.0,
    health_interval=None,
    task_timeout=None,
)


def test_each_stands_after_those_that_it_comes_after_and_no_secret_is_shown() -> None:
    text = plan_as_text([SECOND, FIRST], ENVIRON)

    assert "hush" not in text
    assert text == (
        "1. first\n"
        "  runs     /bin/first '--token=***' 'a b'\n"
        "  in       /f\n"
        "  env      4 variables of malbox's own (--json shows them)\n"
        "  restart  no\n"
        "  timeouts start 30s, task 5m\n"
        "  process  persistent\n"
        "  tasks    sequential, queue 1000, retries 1 lost, 0 error, cancel grace 5s\n"
        "  watched  health 30s, heartbeat never\n"
        "\n"
        "2. second\n"
        "  runs     /bin/second\n"
        "  in       /s\n"
        "  after    first\n"
        "  env      API_KEY=***\n"
        "  env      RULES=rules/\n"
        "  env      2 variables of malbox's own (--json shows them)\n"
        "  config   password = ***\n"
        "  config   url = https://u:***@host/\n"
        "  config   depth = 3\n"
        "  restart  on-failure\n"
        "  timeouts start 30s, task never\n"
        "  process  persistent\n"
        "  tasks    sequential, queue 1000, retries 1 lost, 0 error, cancel grace 5s\n"
        "  watched  health never, heartbeat 10s\n"
        "  limits   memory 512MiB, cpu_time 1m, nofile 256, procs 8, nice 5, cpus 0-1,3"
    )


def test_as_json_the_whole_environment_is_there_and_no_secret() -> None:
    plan = plan_as_json([SECOND, FIRST], ENVIRON)

    [first, second] = plan["plugins"]  # type: ignore[misc] # a list of two
    assert "hush" not in str(plan)
    assert first["environment"] == {
        "GITHUB_TOKEN": "***",
        "MALBOX_PLUGIN_ID": "first",
        "NOTIFY": "x",
        "PATH": "/bin",
        "PYTHONUNBUFFERED": "1",
    }
    assert second["environment"].keys() == {"API_KEY", "MALBOX_PLUGIN_ID", "PATH", "PYTHONUNBUFFERED", "RULES"}
    assert (second["after"], second["argv"], second["cwd"]) == (["first"], ["/bin/second"], "/s")
    assert first["group"] == "first"
    assert {key: first[key] for key in ("execution", "concurrency", "state", "spare", "scope", "queue_size")} == {
        "execution": "sequential",
        "concurrency": 1,
        "state": "persistent",
        "spare": False,
        "scope": [],
        "queue_size": 1000,
    }
    assert (first["retries"], first["cancel_grace"]) == ({"lost": 1, "error": 0}, 5.0)
    assert second["limits"] == {"memory": 512 << 20, "cpu_time": 60, "nofile": 256, "procs": 8}


def instances(count: int, **more: Any) -> list[PluginSpec]:
    return [replace(FIRST, id=f"first-{number}", group="first", **more) for number in range(1, count + 1)]


def test_instances_have_one_block() -> None:
    three = instances(3, state="ephemeral", spare=True, retries=Retries(lost=0, error=2), queue_size=5)
    after = replace(SECOND, after=("first-1", "first-2", "first-3"), state="scoped", scope=("first",))

    text = plan_as_text([after, *three], {})

    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "1. first (3 instances: first-1, first-2, first-3)",
        "",
        "2. second",
    ]
    assert "  process  ephemeral, with a spare\n" in text
    assert "  tasks    sequential, queue 5, retries 0 lost, 2 error, cancel grace 5s\n" in text
    assert "  after    first\n" in text
    assert "  process  scoped, to second, first\n" in text
    many = plan_as_text(instances(9, execution="parallel", concurrency=4), {})
    assert many.startswith("1. first (9 instances: first-1 ... first-9)\n")
    assert "  tasks    parallel 4, queue" in many
    assert plan_as_text(instances(2)[1:], {}).startswith("1. first (1 instance: first-2)\n")


def test_as_json_each_instance_is_there() -> None:
    plan = plan_as_json(instances(2), {})

    assert [(row["id"], row["group"]) for row in plan["plugins"]] == [  # type: ignore[attr-defined] # a list
        ("first-1", "first"),
        ("first-2", "first"),
    ]


def test_a_line_of_a_value_stays_on_one_line() -> None:
    text = plan_as_text([replace(FIRST, env={"A": "x\ny\x1b[2J"})], {})
    assert "A=x\\ny\\x1b[2J" in text
