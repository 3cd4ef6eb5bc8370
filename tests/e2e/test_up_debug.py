"""`malbox up --debug`: a plugin that waits for a debugger, and is not hurried."""

import json
import re
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from e2e_harness import PATIENCE, Place

pytest.importorskip("debugpy", reason="`pip install -e '.[test]'` installs debugpy")

MAIN = """
import plugin_runtime as malbox


class Counts(malbox.Plugin):
    def on_task(self, ctx: malbox.Context) -> None:
        size = len(ctx.task().sample_bytes())
        ctx.results().push(malbox.PluginResult.json("size", size))


malbox.run(Counts())
"""
ABOUT = '[plugin]\nname = "counts"\nversion = "0.1.0"\ntype = "host"\n'
LINE_AFTER_SIZE = 8


class Debugger:
    """A debugger as far as this needs one: the protocol of VS Code, message by message."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._stream = self._socket.makefile("rb")
        self._number = 0

    def ask(self, command: str, **arguments: Any) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self._number

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Return the next message that has these keys; the others are passed over."""
        while True:
            length = 0
            while (line := self._stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert length, "the plugin has hung up"
            message: dict[str, Any] = json.loads(self._stream.read(length))
            if wanted.items() <= message.items():
                return message

    def answer(self, command: str, **arguments: Any) -> dict[str, Any]:
        answer = self.until(type="response", request_seq=self.ask(command, **arguments))
        assert answer["success"], answer
        body: dict[str, Any] = answer.get("body") or {}
        return body

    def attach(self, program: Path, line: int) -> None:
        """Attach, with a breakpoint, and let the plugin go on."""
        self.answer("initialize", adapterID="test", clientID="test")
        attached = self.ask("attach", justMyCode=True)
        self.until(type="event", event="initialized")
        self.answer("setBreakpoints", source={"path": str(program)}, breakpoints=[{"line": line}])
        self.answer("configurationDone")
        self.until(type="response", request_seq=attached)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()


def write(place: Place, settings: str = "") -> Path:
    folder = place.folder / "counts"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "plugin.toml").write_text(ABOUT)
    return place.write_manifest(f'[plugins.counts]\npath = "counts"\n{settings}')


def test_a_debugger_attaches_stops_in_a_handler_and_nothing_is_ended_meanwhile(place: Place) -> None:
    manifest = write(place, 'start_timeout = "1ms"\ntask_timeout = "1ms"\nheartbeat = "100ms"\ninstances = 2\n')
    running = place.start("up", "-f", manifest, "--debug", "counts:0")
    running.wait_for('"request": "attach"')
    assert "start_timeout, task_timeout" in running.out + running.err
    found = re.search(r"waiting for a debugger on 127\.0\.0\.1:(\d+)", running.out + running.err)
    assert found is not None
    assert place.plugin_status(manifest, "counts-1")["state"] == "STARTING"

    with Debugger(int(found[1])) as debugger:
        debugger.attach(place.folder / "counts" / "main.py", LINE_AFTER_SIZE)
        running.wait_for("counts-1: READY")
        task = place.start("send-task", "-f", manifest, "--json", "counts", place.sample(b"abc"))
        stopped = debugger.until(type="event", event="stopped")["body"]
        frame = debugger.answer("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
        assert frame["line"] == LINE_AFTER_SIZE
        assert frame["name"].endswith("on_task")
        assert debugger.answer("evaluate", expression="size", frameId=frame["id"])["result"] == "3"
        debugger.answer("continue", threadId=stopped["threadId"])
        done = task.wait()
        assert (done.code, done.of("result")[0]["data"]) == (0, 3)
        assert place.malbox("down", "-f", manifest).code == 0
    assert running.wait().code == 0


def test_a_reload_leaves_it_as_it_is(place: Place) -> None:
    manifest = write(place)
    running = place.start("up", "-f", manifest, "--debug", "counts:0")
    running.wait_for('"request": "attach"')
    pid = place.plugin_status(manifest, "counts")["pid"]
    place.malbox("reload", "-f", manifest)
    assert place.plugin_status(manifest, "counts")["pid"] == pid
    place.malbox("down", "-f", manifest)
    running.wait()


def test_a_plugin_without_debugpy_says_what_to_do(place: Place) -> None:
    manifest = write(place)
    (place.folder / "debugpy.py").write_text("raise ImportError\n")
    done = place.malbox("up", "-f", manifest, "--debug", "counts:0", env={"PYTHONPATH": str(place.folder)})
    assert done.code == 1
    assert f"{sys.executable} -m pip install debugpy" in done.out + done.err
    assert "malbox retry TASK --debug" in done.out + done.err


def test_a_port_that_is_taken_is_named(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = place.malbox("up", "-f", write(place), "--debug", f"counts:{address.rpartition(':')[2]}")
    assert done.code == 1
    assert f"cannot wait for a debugger on {address}" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--debug", "count"], "has no plugin 'count'"),
        (["--debug", "counts:x"], "is not PLUGIN or PLUGIN:PORT"),
        (["--debug", "counts:70000"], "is not PLUGIN or PLUGIN:PORT"),
        (["--debug", "counts", "--detach"], "exclude each other"),
        (["--debug", "other"], "no Python program"),
        (["counts", "--debug", "other"], "it is not started"),
    ],
)
def test_what_cannot_be_debugged_is_refused(place: Place, arguments: list[str], said: str) -> None:
    manifest = write(place, '[plugins.other]\ncommand = ["/bin/true"]\n')
    done = place.malbox("up", "-f", manifest, *arguments)
    assert done.code == 2
    assert said in done.err
