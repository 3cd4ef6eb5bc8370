"""What a plugin.toml says and this version does not act upon is told, and does not stop anybody."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from malbox_cli.manifest.load import check_manifest, load_manifest
from malbox_cli.manifest.unsupported import NOT_SUPPORTED, keys_not_supported

WriteTree = Callable[[Mapping[str, str]], Path]

PLUGIN = '[plugins.good]\npath = "good"\n'
ABOUT = '[plugin]\nname = "d"\nversion = "0.1.0"\ntype = "host"\n'


@pytest.mark.parametrize(
    ("body", "line", "where", "fragment"),
    [
        ('[scope]\nplugins = ["a"]', 1, "plugins.good", 'counts only with state = "scoped"'),
        ('[runtime]\nstate = "scoped"\n[scope]\nmore = 1', 8, "scope.more", "it is ignored, as Malbox does"),
        ('[runtime]\nexecution = "parallel"\nstate = "persistent"', 6, "", ""),
        ('[runtime]\nlog_filter = "info,my_plugin=debug"', 6, "", ""),
        ('[runtime]\nlog_filter = "info,[span]=debug"', 6, "runtime.log_filter", "all of it is passed over"),
        ('[runtime.paths]\nlog_dir = "/x"', 6, "runtime.paths.log_dir", "is not used"),
        ('[runtime.paths]\nexternal_log_dir = "/x"', 6, "", ""),
        ("[runtime.stash]\nttl_secs = 5", 6, "runtime.stash.ttl_secs", "ttl_secs: "),
        ("[runtime.auto_collect.artifacts]", 5, "", ""),
        ("[runtime.auto_collect.artifacts]\nenabled = false", 5, "", ""),
        ("[runtime.auto_collect.artifacts]\nenabled = true", 5, "", ""),
        (
            "[runtime.auto_collect.external_logs]\nenabled = true",
            6,
            "runtime.auto_collect.external_logs.enabled",
            "there is no folder",
        ),
        (
            '[events]\nsubscribe = ["TaskCompleted"]',
            6,
            "events.subscribe[0]",
            "only PluginResultAvailable is passed on",
        ),
        ('[events]\nsubscribe = ["PluginResultAvailable", "SampleStopped"]', 6, "", ""),
        ('[events.filters.X]\nfrom_plugins = ["a"]', 6, "events.filters.X.from_plugins", "has no effect"),
        ('[extra]\na = "1"', 5, "extra", "it is ignored, as Malbox does"),
        ('[results.x]\ndescripton = ""', 6, "results.x.descripton", "did you mean 'description'?"),
    ],
)
def test_what_plugin_toml_says_and_nothing_acts_upon_is_a_note(
    body: str, line: int, where: str, fragment: str, write_tree: WriteTree
) -> None:
    folder = write_tree({"plugins.toml": PLUGIN, "good/plugin.toml": f"{ABOUT}{body}\n"})
    manifest, problems = check_manifest(folder / "plugins.toml")
    assert manifest is not None
    assert load_manifest(folder / "plugins.toml") == manifest
    assert [(problem.line, problem.where, problem.severity) for problem in problems] == (
        [(line, where, "note")] if where else []
    )
    assert all(fragment in problem.message for problem in problems)


@pytest.mark.parametrize(("text", "where"), [("", ""), ('[plugin]\nname = "x"\n', "plugin")])
def test_what_malbox_itself_would_miss_in_plugin_toml_is_a_note(text: str, where: str, write_tree: WriteTree) -> None:
    folder = write_tree({"plugins.toml": PLUGIN, "good/plugin.toml": text})
    manifest, problems = check_manifest(folder / "plugins.toml")
    assert manifest is not None
    assert [(problem.where, problem.severity) for problem in problems] == [(where, "note")]
    assert "Malbox itself" in problems[0].message


def test_every_key_that_is_not_supported_says_what_happens_instead() -> None:
    assert set(keys_not_supported()) == set()
    assert all(row.instead for row in NOT_SUPPORTED)
    assert len({(row.file, row.key) for row in NOT_SUPPORTED}) == len(NOT_SUPPORTED)
