"""Which plugins come after which: what `after` may say, and what follows from it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import read_text

from malbox_cli.manifest.order import cycles_in, in_order, with_dependencies
from malbox_cli.manifest.specs import Manifest, PluginSpec

After = dict[str, list[str]]


def text_of(after: After) -> str:
    return "".join(f'[plugins.{name}]\npath = "p"\nafter = {names}\n' for name, names in after.items())


def specs_of(after: After) -> tuple[PluginSpec, ...]:
    return tuple(
        PluginSpec(id=name, name=name, argv=("x",), cwd=Path("/"), after=tuple(names)) for name, names in after.items()
    )


UNKNOWN = "names '{}', a plugin that the manifest does not have"
CIRCLE = "goes round in a circle, in which none can be the first to start: {}; remove one of these"


@pytest.mark.parametrize(
    ("after", "problems"),
    [
        ({"a": [], "b": ["a"], "c": ["a", "b"]}, []),
        ({"a": ["c"], "b": [], "c": ["b"]}, []),
        (
            {"file-info": [], "b": ["fileinfo"]},
            [f"6: plugins.b.after[0]: {UNKNOWN.format('fileinfo')} (did you mean 'file-info'?)"],
        ),
        (
            {"a": [], "b": ["a", "yara"]},
            [f"6: plugins.b.after[1]: {UNKNOWN.format('yara')}; its plugins are a, b"],
        ),
        ({"a": ["a"]}, ["3: plugins.a.after[0]: names the plugin itself, which cannot wait for itself; remove it"]),
        ({"a": [], "b": ["a", "a"]}, ["6: plugins.b.after[1]: names 'a' twice; remove one of them"]),
        ({"a": ["b"], "b": ["a"]}, [f"3: plugins.a.after[0]: {CIRCLE.format('a after b after a')}"]),
        (
            {"x": ["c"], "c": ["a"], "a": ["x", "b"], "b": []},
            [f"3: plugins.x.after[0]: {CIRCLE.format('x after c after a after x')}"],
        ),
        (
            {"a": ["b", "c"], "b": ["a"], "c": ["a"], "d": ["e"], "e": ["d"]},
            [
                f"3: plugins.a.after[0]: {CIRCLE.format('a after b after a')}",
                f"3: plugins.a.after[1]: {CIRCLE.format('a after c after a')}",
                f"12: plugins.d.after[0]: {CIRCLE.format('d after e after d')}",
            ],
        ),
        (
            {"a": ["z", "a", "b", "b"], "b": ["a"]},
            [
                f"3: plugins.a.after[0]: {UNKNOWN.format('z')}; its plugins are a, b",
                "3: plugins.a.after[1]: names the plugin itself, which cannot wait for itself; remove it",
                "3: plugins.a.after[3]: names 'b' twice; remove one of them",
                f"3: plugins.a.after[2]: {CIRCLE.format('a after b after a')}",
            ],
        ),
    ],
)
def test_what_no_plugin_can_wait_for_is_told_at_once(after: After, problems: list[str]) -> None:
    manifest, found = read_text(text_of(after))
    assert [str(problem) for problem in found] == [f"plugins.toml:{problem}" for problem in problems]
    assert (manifest is not None) is (not problems)


def test_a_plugin_with_another_problem_can_be_waited_for() -> None:
    _, problems = read_text('[plugins.a]\npath = "p"\nafter = ["b"]\n[plugins]\nb = 1\n')
    assert [problem.where for problem in problems] == ["plugins.b"]


def test_of_very_many_circles_the_first_are_told() -> None:
    names = [f"p{n}" for n in range(60)]
    manifest, problems = read_text(text_of({name: [other for other in names if other != name] for name in names}))
    assert manifest is None
    assert len(problems) == 20


def test_a_chain_that_is_longer_than_the_stack_has_an_order() -> None:
    count = 5000
    after = {f"p{n}": [f"p{n + 1}"] for n in range(count)} | {f"p{count}": []}
    assert [spec.id for spec in in_order(specs_of(after))] == [f"p{n}" for n in range(count, -1, -1)]
    assert list(cycles_in(after)) == []
    (circle,) = cycles_in(after | {f"p{count}": ["p0"]})
    assert circle == tuple(f"p{n}" for n in range(count + 1))


@pytest.mark.parametrize(
    ("after", "order"),
    [
        ({}, ""),
        ({"a": [], "b": [], "c": []}, "a b c"),
        ({"a": ["c"], "b": [], "c": []}, "c a b"),
        ({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}, "a b c d"),
        ({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}, "a b c d"),
        ({"a": ["absent"], "b": []}, "a b"),
    ],
)
def test_each_stands_after_what_it_comes_after_and_else_where_it_stood(after: After, order: str) -> None:
    assert [spec.id for spec in in_order(specs_of(after))] == order.split()


def test_a_circle_has_no_order() -> None:
    with pytest.raises(ValueError, match="a circle has no order: a after b after a"):
        in_order(specs_of({"a": ["b"], "b": ["a"]}))


@pytest.mark.parametrize(
    ("ids", "needed"),
    [
        ("", ""),
        ("a", "a"),
        ("b", "a b"),
        ("d", "a b c d"),
        ("c e", "a c e"),
        ("e absent", "e"),
    ],
)
def test_a_choice_comes_with_all_that_it_comes_after(ids: str, needed: str) -> None:
    plugins = specs_of({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": [], "e": []})
    manifest = Manifest(path=Path("/m"), state_dir=Path("/s"), plugins=plugins)
    assert sorted(spec.id for spec in with_dependencies(manifest, ids.split())) == needed.split()
    assert [spec for spec in plugins if spec in with_dependencies(manifest, ids.split())] == list(
        with_dependencies(manifest, ids.split())
    )


_names = st.sampled_from([f"p{n}" for n in range(7)])
_graphs = st.dictionaries(_names, st.lists(_names, max_size=4, unique=True))


@given(_graphs)
def test_there_is_an_order_or_a_circle_that_is_one(after: After) -> None:
    circles = list(cycles_in(after))
    for circle in circles:
        assert all(other in after[name] for name, other in zip(circle, (*circle[1:], circle[0]), strict=True))
        assert len(set(circle)) == len(circle)
        assert circle[0] == next(name for name in after if name in circle)
    try:
        order = [spec.id for spec in in_order(specs_of(after))]
    except ValueError:
        assert circles
        return
    assert circles == []
    assert sorted(order) == sorted(after)
    place = {name: index for index, name in enumerate(order)}
    assert all(place[other] < place[name] for name in after for other in after[name] if other in place)


@given(_graphs)
def test_without_the_last_step_of_each_circle_none_is_left(after: After) -> None:
    # Turned so that it begins with what stands first, a circle no longer says which step was its last.
    left = {name: list(names) for name, names in after.items()}
    for _ in range(sum(len(names) for names in after.values()) + 1):
        circle = next(cycles_in(left), None)
        if circle is None:
            return
        left[circle[-1]].remove(circle[0])
    raise AssertionError("there is always another circle")


@given(_graphs)
def test_what_stands_right_already_stays_where_it_is(after: After) -> None:
    try:
        order = in_order(specs_of(after))
    except ValueError:
        return
    assert in_order(order) == order
