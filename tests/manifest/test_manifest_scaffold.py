import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.load import check_manifest
from malbox_cli.manifest.manifest_file import parse_manifest_file
from malbox_cli.manifest.scaffold import FoundPlugin, examine_plugin_folder, find_plugin_folders, render_manifest

WriteTree = Callable[[Mapping[str, str]], Path]

GOOD_PLUGIN = '[plugin]\nname = "good"\nversion = "1.2.3"\ntype = "host"\n'

ROOT = Path(__file__).parents[2]
GUEST = '[plugin]\nname = "g"\nversion = "1.0.0"\ntype = "guest"\n'


def test_folders_with_a_plugin_toml_are_found_once_in_order(write_tree: WriteTree) -> None:
    names = ["b/one", "a/two", "a/two/nested", ".hidden/x", "node_modules/x", "1/2/3/4/5/6/7/8", "1/2/3/4/5/6/7/8/9"]
    root = write_tree({f"{name}/plugin.toml": GOOD_PLUGIN for name in names[:6]} | {f"q/{names[6]}/plugin.toml": ""})
    (root / "link").symlink_to(root / "b")
    found = find_plugin_folders([root / "b", root, root / "absent"])
    assert [str(folder.relative_to(root)) for folder in found] == ["b/one", "1/2/3/4/5/6/7/8", "a/two", "good"]


def test_a_root_that_is_a_plugin_is_found_itself(write_tree: WriteTree) -> None:
    root = write_tree({})
    assert find_plugin_folders([root / "good"]) == [root / "good"]


def test_a_folder_is_examined_for_what_it_does_and_why_it_cannot_run(write_tree: WriteTree) -> None:
    root = write_tree(
        {
            "fine/plugin.toml": GOOD_PLUGIN + 'description = "Says hello"\n',
            "fine/main.py": "",
            "guest/plugin.toml": GUEST,
            "bare/plugin.toml": GOOD_PLUGIN,
        }
    )
    assert examine_plugin_folder(root / "fine") == FoundPlugin(folder=root / "fine", description="Says hello")
    assert "virtual machine" in examine_plugin_folder(root / "guest").fault
    assert "nothing to run" in examine_plugin_folder(root / "bare").fault
    assert "does not exist" in examine_plugin_folder(root / "absent").fault


def test_what_is_written_loads_without_a_problem(write_tree: WriteTree) -> None:
    root = write_tree(
        {
            'odd "é] name/plugin.toml': GOOD_PLUGIN + 'description = "two\\nlines \\u0007 = [x"\n',
            'odd "é] name/main.py': "",
            "sub/good/plugin.toml": GOOD_PLUGIN,
            "sub/good/main.py": "",
            "guest/plugin.toml": GUEST,
        }
    )
    found = [examine_plugin_folder(folder) for folder in find_plugin_folders([root])]
    (root / "below").mkdir()
    (root / "below/plugins.toml").write_text(render_manifest(found, root / "below"), encoding="utf-8")
    manifest, problems = check_manifest(root / "below/plugins.toml")
    assert problems == ()
    assert manifest is not None
    assert [spec.id for spec in manifest.plugins] == ["good", "odd-name", "good-2"]
    assert manifest.plugins[1].cwd.samefile(root / 'odd "é] name')
    text = (root / "below/plugins.toml").read_text(encoding="utf-8")
    assert "# Left out: ../guest: is 'guest'" in text
    assert "# two lines \\x07 = [x\n[plugins.odd-name]" in text


def test_what_the_comments_of_a_new_manifest_propose_is_read_without_an_error() -> None:
    text = render_manifest([FoundPlugin(folder=Path("/a/b"))], Path("/a"))
    keys = [line.removeprefix("# ") for line in text.splitlines() if " = " in line and line.startswith("# ")]
    settings, options = keys[:3], [line for line in keys[3:] if line]
    proposed = "[malbox]\n" + "\n".join(settings) + "\n[plugins.b]\n" + "\n".join(options)
    proposed += '\n[plugins.other-plugin]\npath = "other"'
    assert len(settings) == 3
    assert len(options) == 14
    findings = Findings()
    parse_manifest_file(tomllib.loads(proposed), findings)
    assert findings.found == []


def test_a_manifest_without_a_plugin_that_runs_is_not_written() -> None:
    with pytest.raises(ValueError, match="no plugin to write"):
        render_manifest([FoundPlugin(folder=Path("/a"), fault="no")], Path("/"))


_names = st.text(
    alphabet=st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=80
)


@given(st.lists(st.tuples(_names, st.text(max_size=30), st.sampled_from(["", "a\nfault"])), min_size=1, max_size=5))
def test_any_folder_name_and_description_gives_a_manifest_of_that_folder(found: list[tuple[str, str, str]]) -> None:
    names = [(name, text, fault) for name, text, fault in found if name not in (".", "..")]
    plugins = [FoundPlugin(folder=Path("/x") / name, description=text, fault=fault) for name, text, fault in names]
    running = [plugin for plugin in plugins if not plugin.fault]
    if not running:
        return
    findings = Findings()
    read = parse_manifest_file(tomllib.loads(render_manifest(plugins, Path("/x"))), findings)
    assert findings.found == []
    assert [table.path for table in read.plugins] == [plugin.folder.name for plugin in running]


def test_the_example_manifest_of_the_project_is_fine() -> None:
    manifest, problems = check_manifest(ROOT / "plugins.example.toml")
    assert [str(problem) for problem in problems] == []
    assert manifest is not None
    assert [spec.id for spec in manifest.plugins] == ["file-info", "yara"]
    assert all(spec.argv[0] == sys.executable for spec in manifest.plugins)
