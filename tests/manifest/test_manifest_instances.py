"""A plugin that runs as several processes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import HOST, MANIFEST, FakeFiles, read_text

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.instances import expand, plugin_of, process_ids, too_many
from malbox_cli.manifest.order import in_order, with_dependencies
from malbox_cli.manifest.specs import Location, PluginSpec
from plugin_runtime.ports.iceoryx_services import MAX_SUBSCRIBERS

LONG = "x" * 62


def table(name: str, *lines: str) -> str:
    return "\n".join([f"[plugins.{name}]", 'path = "p"', *lines, ""])


def locate(text: str) -> Location:
    return Reader(MANIFEST, Path("/m/plugins.toml"), FakeFiles(text.encode(), b""), HOST, read_dotenv).locate()


def test_each_process_is_a_plugin_in_its_place() -> None:
    text = table("a") + table("b", "instances = 2", 'after = ["a"]') + table("c", "instances = 1", 'after = ["b", "a"]')
    manifest, problems = read_text(text)
    assert problems == ()
    assert manifest is not None
    assert [(spec.id, spec.group, spec.pool, spec.after) for spec in manifest.plugins] == [
        ("a", "", "a", ()),
        ("b-1", "b", "b", ("a",)),
        ("b-2", "b", "b", ("a",)),
        ("c", "", "c", ("b-1", "b-2", "a")),
    ]
    assert manifest.names == ("a", "b", "c")


def test_tasks_go_to_the_tables_and_each_process_is_of_one() -> None:
    location = locate(table("a") + table("b", "instances = 2") + table("c", "instances = true"))
    assert location.plugin_ids == ("a", "b", "c")
    assert location.process_ids == {"a": ("a",), "b": ("b-1", "b-2"), "c": ("c",)}
    assert location.groups == {"a": "a", "b-1": "b", "b-2": "b", "c": "c"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            table("yara", "instances = 3") + table("yara-2"),
            (
                "3: plugins.yara.instances: makes processes called yara-1 to yara-3, but there is a table"
                " [plugins.yara-2] too; rename one of the two tables"
            ),
        ),
        (
            table("yara-1", "instances = 2") + table("yara", "instances = 2"),
            (
                "6: plugins.yara.instances: makes processes called yara-1 to yara-2, but there is a table"
                " [plugins.yara-1] too; rename one of the two tables"
            ),
        ),
        (
            table(LONG, "instances = 2"),
            (
                f"3: plugins.{LONG}.instances: makes a process called {LONG}-2, but an id has at most 63 characters;"
                " give the table a shorter name"
            ),
        ),
        (
            table(LONG + "xx", "instances = 2"),
            (
                f"1: plugins.{LONG}xx: '{LONG[:57]}...' cannot be a plugin's id, which has 1 to 63 of the characters"
                " A-Z, a-z, 0-9, _ and -; rename the table"
            ),
        ),
        (
            table("a", 'after = ["yara-2"]') + table("yara", "instances = 2"),
            (
                "3: plugins.a.after[0]: names 'yara-2', one of the processes of yara;"
                " write 'yara', which means all of them"
            ),
        ),
        (
            table("a", 'after = ["yara-3"]') + table("yara", "instances = 2"),
            "3: plugins.a.after[0]: names 'yara-3', a plugin that the manifest does not have (did you mean 'yara'?)",
        ),
        (
            table("yara", "instances = 2", 'after = ["yara-1"]'),
            (
                "4: plugins.yara.after[0]: names 'yara-1', one of the processes of yara;"
                " write 'yara', which means all of them"
            ),
        ),
        (
            table("a", "instances = 2", 'after = ["b"]') + table("b", "instances = 2", 'after = ["a"]'),
            (
                "4: plugins.a.after[0]: goes round in a circle, in which none can be the first to start:"
                " a after b after a; remove one of these"
            ),
        ),
    ],
)
def test_what_could_not_be_told_apart_is_one_problem_in_its_line(text: str, problem: str) -> None:
    manifest, problems = read_text(text)
    assert manifest is None
    assert list(map(str, problems)) == [f"plugins.toml:{problem}"]


def test_an_id_of_the_greatest_length_is_one() -> None:
    manifest, problems = read_text(table("x" * 61, "instances = 9"))
    assert problems == ()
    assert manifest is not None
    assert {len(spec.id) for spec in manifest.plugins} == {63}


def test_more_processes_than_can_run_at_once_are_counted_with_their_instances() -> None:
    text = table("a", "instances = 64") + table("b")
    manifest, problems = read_text(text)
    assert problems == ()
    assert manifest is not None
    assert len(manifest.plugins) == MAX_SUBSCRIBERS
    assert too_many(manifest.plugins) is None

    manifest, problems = read_text(text + table("c"))
    assert manifest is not None  # some of them can be named
    fault = "these are 66 processes, and one supervisor can have 65, each instance counted"
    assert too_many(manifest.plugins) == fault
    assert [(problem.severity, problem.where, problem.message) for problem in problems] == [
        ("note", "plugins", f"{fault}: name those to run, as in 'malbox up PLUGIN'")
    ]


@pytest.mark.parametrize(
    ("names", "needed"),
    [
        (("b",), "a-1 a-2 b-1 b-2"),
        (("b-2",), "a-1 a-2 b-2"),
        (("a",), "a-1 a-2"),
        (("a-2", "a-1"), "a-1 a-2"),
        (("a-3", "z"), ""),
        ((), ""),
    ],
)
def test_a_name_means_all_instances_and_an_id_one(names: tuple[str, ...], needed: str) -> None:
    manifest, _ = read_text(table("a", "instances = 2") + table("b", "instances = 2", 'after = ["a"]'))
    assert manifest is not None
    assert [spec.id for spec in with_dependencies(manifest, names)] == needed.split()


_tables = st.dictionaries(
    st.sampled_from(["a", "b", "a-b", "a-1", "b-10", "c_2"]),
    st.tuples(st.integers(1, 12), st.lists(st.sampled_from(["a", "b", "a-b", "a-1"]), max_size=3, unique=True)),
    min_size=1,
)


@given(_tables)
def test_instances_are_told_apart_and_keep_the_order_of_the_file(tables: dict[str, tuple[int, list[str]]]) -> None:
    text = "".join(table(name, f"instances = {count}", f"after = {after}") for name, (count, after) in tables.items())
    manifest, problems = read_text(text)
    counts = {name: count for name, (count, _) in tables.items()}
    made = {process_id for name, count in counts.items() if count > 1 for process_id in process_ids(name, count)}
    assert (made & tables.keys() == set()) is not any(problem.where.endswith(".instances") for problem in problems)
    if manifest is None:
        return
    ids = [spec.id for spec in manifest.plugins]
    assert len(set(ids)) == len(ids) == sum(counts.values())
    assert manifest.names == tuple(tables)
    for spec in manifest.plugins:
        assert (spec.group == "") is (counts[spec.pool] == 1)
        assert plugin_of(spec.id, counts) == (spec.group or None)
        assert set(spec.after) == {each for name in tables[spec.pool][1] for each in process_ids(name, counts[name])}
    runs = [spec.pool for spec in in_order(manifest.plugins)]
    assert [name for name, before in zip(runs, [None, *runs], strict=False) if name != before] == list(
        dict.fromkeys(runs)
    )
    located = locate(text)
    assert list(located.groups) == ids
    assert located.plugin_ids == manifest.names


def test_what_is_not_in_the_table_of_instances_is_one_process() -> None:
    spec = PluginSpec(id="a", name="a", argv=("x",), cwd=Path("/"), after=("b",))
    assert list(expand([spec], {})) == [spec]
