"""What the logs hold, for the terminal or for other programs."""

import json
from collections.abc import Iterable
from datetime import datetime

from malbox_cli.control.json_text import parse_json
from malbox_cli.manifest.specs import OWN_NAME
from malbox_cli.store.log_format import LogEntry, utc_time
from malbox_cli.supervisor.log_lines import escaped, printable
from plugin_runtime.wire.log_marks import LogMark

__all__ = ["LogText", "log_json"]

COLOURS = (36, 32, 33, 35, 34, 96, 92, 95)
LEVEL_COLOURS = {"warning": 33, "error": 31}
OWN_COLOUR = 1
PLAIN = b"\x1b[0m"
HARMLESS = bytes((*b"\t\n", *range(0x20, 0x7F)))
"""What can be shown as it is, in every encoding that a terminal may have; most lines have nothing else."""


class LogText:
    """Makes lines of entries: time, who, text.

    Args:
        colour: Whether to use colours, one for each plugin.
        encoding: What the terminal takes.
        raw: Leave what plugins print as it is, whatever that does to the terminal.
        with_date: Whether the time has a date.
        plugins: Those that are known, so that each has the same colour everywhere.
    """

    def __init__(
        self,
        *,
        colour: bool,
        encoding: str = "utf-8",
        raw: bool = False,
        with_date: bool = False,
        plugins: Iterable[str] = (),
    ) -> None:
        self._colour = colour
        self._encoding = encoding
        self._raw = raw
        self._time = "%Y-%m-%d %H:%M:%S" if with_date else "%H:%M:%S"
        self._colours: dict[str, int] = {}
        for plugin in plugins:
            self._colour_of(plugin)

    def render(self, entry: LogEntry) -> bytes:
        """Return an entry as lines for the terminal, each with a newline."""
        time = datetime.fromtimestamp(entry.at / 1e6).strftime(self._time)
        if entry.plugin is None or entry.level != "output":
            return self._said(entry, time)
        said = "" if entry.said is None else self._words(entry.said)
        prefix = self._encode(f"{time} {self._painted(entry.plugin, self._colour_of(entry.plugin))} | {said}")
        data, end = entry.data.removesuffix(b"\n"), b"\n"
        if self._raw:
            end = PLAIN + b"\n" if self._colour else end
        elif data.translate(None, HARMLESS):
            data = self._encode(_printable(data))
        return prefix + data.replace(b"\n", end + prefix) + end

    def _words(self, said: LogMark) -> str:
        task = "" if said.task is None else f"task {said.task} | "
        if said.level == "output":
            return task
        level = said.level.upper()
        return f"{task}{self._painted(level, LEVEL_COLOURS[said.level]) if said.level in LEVEL_COLOURS else level} "

    def _said(self, entry: LogEntry, time: str) -> bytes:
        text = printable(entry.data.removesuffix(b"\n"))
        if entry.plugin is not None:
            text = f"{entry.plugin}: {text}"
        if entry.level in LEVEL_COLOURS:
            text = self._painted(text, LEVEL_COLOURS[entry.level])
        return self._encode(f"{time} {self._painted(OWN_NAME, OWN_COLOUR)} | {text}\n")

    def _colour_of(self, plugin: str) -> int:
        return self._colours.setdefault(plugin, COLOURS[len(self._colours) % len(COLOURS)])

    def _painted(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text

    def _encode(self, text: str) -> bytes:
        return text.encode(self._encoding, "backslashreplace")


def log_json(entry: LogEntry) -> bytes:
    """Return an entry as JSON, an object a line.

    They have time, level, plugin (null for malbox itself), source (who says it), task (null for none), fields and text.
    """
    said = entry.said
    fields = _fields(said)
    rows = [
        {
            "time": utc_time(entry.at),
            "level": entry.level if said is None else said.level,
            "plugin": entry.plugin,
            "source": "plugin" if entry.level == "output" else "malbox",
            "task": None if said is None else said.task,
            "fields": fields,
            "text": line.decode("utf-8", "backslashreplace"),
        }
        for line in entry.data.removesuffix(b"\n").split(b"\n")
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode("ascii")


def _fields(said: LogMark | None) -> object:
    try:
        return {} if said is None or not said.fields else parse_json(said.fields.encode())
    except ValueError:
        return {}


def _printable(lines: bytes) -> str:
    """Return lines as text that does nothing to a terminal, and has the same newlines."""
    text = lines.decode("utf-8", "backslashreplace")
    # Looking at all lines at once is much faster than at each.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "\n".join(escaped(line.removesuffix("\r")) for line in text.split("\n"))
