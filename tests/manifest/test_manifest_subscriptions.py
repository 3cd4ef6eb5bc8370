"""Which plugins get whose results, from the manifest and the plugin.toml files together."""

from collections.abc import Callable, Mapping
from pathlib import Path

from malbox_cli.manifest.load import check_manifest
from malbox_cli.manifest.specs import Manifest, PluginSpec, Source

WriteTree = Callable[[Mapping[str, str]], Path]

ABOUT = '[plugin]\nname = "{name}"\nversion = "1.0.0"\ntype = "host"\n'


def read(write_tree: WriteTree, text: str, events: str = "") -> tuple[Manifest, list[str]]:
    files = {"plugins.toml": text}
    for name in "abc":
        files |= {f"{name}/plugin.toml": ABOUT.format(name=f"is-{name}") + (events if name == "c" else "")}
        files |= {f"{name}/main.py": ""}
    manifest, problems = check_manifest(write_tree(files) / "plugins.toml")
    assert manifest is not None, problems
    return manifest, [f"{problem.where}: {problem.message}" for problem in problems]


def table(name: str, *lines: str) -> str:
    return "\n".join([f"[plugins.{name}]", f'path = "{name}"', *lines, ""])


def spec(manifest: Manifest, plugin_id: str) -> PluginSpec:
    found = manifest.plugin(plugin_id)
    assert found is not None
    return found


def test_every_process_hears_every_process_of_the_plugins_it_subscribes_to(write_tree: WriteTree) -> None:
    text = table("a", "instances = 2") + table("b", 'subscribe = ["a"]', "instances = 2")
    manifest, problems = read(write_tree, text + table("c", 'subscribe = ["b", "a"]'))
    assert problems == []
    assert spec(manifest, "a-1").listeners == spec(manifest, "a-2").listeners == ("b-1", "b-2", "c")
    assert spec(manifest, "b-2").sources == (Source("a-1", "a", 1), Source("a-2", "a", 1))
    assert [source.id for source in spec(manifest, "c").sources] == ["b-1", "b-2", "a-1", "a-2"]
    assert spec(manifest, "c").listeners == ()
    assert spec(manifest, "c").after == ()


def test_plugins_may_subscribe_to_each_other(write_tree: WriteTree) -> None:
    manifest, problems = read(write_tree, table("a", 'subscribe = ["b"]') + table("b", 'subscribe = ["a"]'))
    assert problems == []
    assert spec(manifest, "a").listeners == ("b",)
    assert spec(manifest, "b").listeners == ("a",)


def test_plugin_toml_names_plugins_by_their_tables_or_their_names(write_tree: WriteTree) -> None:
    events = '[events]\nsubscribe = ["PluginResultAvailable"]\n'
    filters = '[events.filters.PluginResultAvailable]\nfrom_plugins = ["is-b"]\n'
    text = table("a") + table("b") + table("c")
    assert spec(read(write_tree, text, events)[0], "c").subscribe == ("a", "b")
    assert spec(read(write_tree, text, events + filters)[0], "c").subscribe == ("b",)
    assert spec(read(write_tree, text, filters)[0], "c").subscribe == ()


def test_the_manifest_decides_where_both_say_something(write_tree: WriteTree) -> None:
    events = '[events]\nsubscribe = ["PluginResultAvailable"]\n'
    text = table("a") + table("b") + table("c", 'subscribe = ["a"]')
    assert spec(read(write_tree, text, events)[0], "c").subscribe == ("a",)
    text = table("a") + table("b") + table("c", "subscribe = []")
    assert spec(read(write_tree, text, events)[0], "c").subscribe == ()


def test_a_plugin_toml_that_names_nobody_of_the_manifest_is_a_note(write_tree: WriteTree) -> None:
    events = '[events]\nsubscribe = ["PluginResultAvailable"]\nfilters.PluginResultAvailable.from_plugins = ["aa"]\n'
    manifest, problems = read(write_tree, table("a") + table("c"), events)
    assert spec(manifest, "c").subscribe == ()
    assert len(problems) == 1
    assert "names 'aa'" in problems[0] or "name 'aa'" in problems[0]
