"""Where everything comes together that is to be logged."""

import io
from pathlib import Path

import pytest

from malbox_cli.store.log_file import log_names, log_path
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.log_hub import LogHub


class Hub:
    """A hub, what it showed and what it wrote."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self.folder = folder
        self.stream = io.StringIO()
        self.console = Console(quiet=quiet, stream=self.stream)
        self.hub = LogHub(self.console, folder)

    def close(self) -> None:
        self.hub.close()
        self.console.close()

    @property
    def shown(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.stream.getvalue().splitlines()]

    def written(self, name: str) -> list[str]:
        return [line[28:] for line in log_path(self.folder, name).read_text().splitlines()]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path / "logs")


def test_everything_goes_to_the_terminal_and_to_disk(hub: Hub) -> None:
    hub.hub.say("info", "supervising plugins.toml")
    hub.hub.printed("yara", b"one\ntwo\n")
    hub.hub.printed("yara", b"no end")
    hub.hub.say("warning", "yara: killing it", "yara")
    hub.hub.say("error", "was killed", "yara")
    hub.close()
    assert hub.shown == [
        "malbox | supervising plugins.toml",
        "yara | one",
        "yara | two",
        "yara | no end",
        "malbox | yara: killing it",
        "malbox | yara: was killed",
    ]
    assert log_names(hub.folder) == ["malbox", "yara"]
    assert hub.written("malbox") == ["! info: supervising plugins.toml"]
    assert hub.written("yara") == ["| one", "| two", "\\ no end", "! warning: killing it", "! error: was killed"]


def test_what_is_said_stands_on_one_line_and_does_nothing(hub: Hub) -> None:
    hub.hub.say("error", "a\x1b[2Jb\n00:00:00 malbox | all is well \udcff")
    hub.close()
    text = "a\\x1b[2Jb\\n00:00:00 malbox | all is well \\udcff"
    assert hub.shown == [f"malbox | {text}"]
    assert hub.written("malbox") == [f"! error: {text}"]


def test_what_a_quiet_terminal_does_not_show_is_on_disk(tmp_path: Path) -> None:
    hub = Hub(tmp_path, quiet=True)
    hub.hub.say("info", "READY", "yara")
    hub.close()
    assert hub.shown == []
    assert hub.written("yara") == ["! info: READY"]


def test_a_log_that_cannot_be_written_is_told_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    hub = Hub(tmp_path / "logs")
    for _ in range(3):
        hub.hub.printed("yara", b"x\n")
    hub.close()
    assert len(hub.shown) == 4
    [warning] = [line for line in hub.shown if line.startswith("malbox")]
    assert f"cannot write {tmp_path}/logs/yara.log: Not a directory" in warning
