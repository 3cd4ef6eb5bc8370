"""Which release is installed, told without loading much."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import VersionMismatch
from plugin_runtime.releases import release_of, require_release


@pytest.mark.parametrize("distribution", ["iceoryx2", "malbox", "pytest"])
def test_it_is_what_the_installer_says(distribution: str) -> None:
    assert release_of(distribution) == metadata.version(distribution)


def test_what_is_not_installed_has_no_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "missing"))
    assert release_of("no-such-distribution") == ""


def test_the_first_on_the_path_counts_and_one_without_such_a_folder_is_found_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "new" / "iceoryx2-9.8.7.dist-info").mkdir(parents=True)
    (tmp_path / "old" / "antique.egg-info").mkdir(parents=True)
    (tmp_path / "old" / "antique.egg-info" / "PKG-INFO").write_text("Name: antique\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    assert release_of("iceoryx2") == "9.8.7"
    assert release_of("antique") == "1.2"


def test_looking_for_it_does_not_load_what_takes_long() -> None:
    code = (
        "import sys; from plugin_runtime.releases import release_of; release_of('iceoryx2'); release_of('malbox'); "
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_two_releases_that_are_known_can_differ() -> None:
    def told(iceoryx2: str) -> PluginEnvironment:
        return PluginEnvironment(plugin_id="a", supervisor_pid=1, iceoryx2=iceoryx2)

    for theirs, ours in (("0.10.0", "0.10.0"), ("", "0.10.0"), ("0.10.0", ""), ("", "")):
        require_release(told(theirs), ours)
    with pytest.raises(
        VersionMismatch, match=r"uses iceoryx2 0\.10\.1 and this plugin 0\.10\.0, .*iceoryx2==0\.10\.1 where"
    ):
        require_release(told("0.10.1"), "0.10.0")
