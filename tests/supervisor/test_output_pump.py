"""Reading what plugins print."""

import os
from collections.abc import Iterator

import pytest

from malbox_cli.supervisor import output_pump
from malbox_cli.supervisor.output_pump import READ_BYTES, OutputPump
from malbox_cli.supervisor.poller import Poller
from plugin_runtime.wire.log_marks import mark_start, marked


class Rig:
    """A pump with the pipe of one plugin."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.printed: list[bytes] = []
        self.pump = OutputPump(self.poller, lambda _, lines, mark: self.printed.append(mark + lines))
        self.writer = -1
        self.start()

    def start(self) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        self.pump.open("p", reader)

    def print(self, data: bytes) -> None:
        assert os.write(self.writer, data) == len(data)

    def end(self) -> None:
        """Close the plugin's end of the pipe."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def turn(self) -> list[bytes]:
        self.poller.dispatch()
        printed = self.printed[:]
        self.printed.clear()
        return printed


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.end()
    rig.poller.close()


def test_whole_lines_are_handed_on_and_the_last_one_at_the_end(rig: Rig) -> None:
    rig.print(b"one\ntwo\nthr")
    assert rig.turn() == [b"one\ntwo\n"]
    rig.print(b"ee\nno end")
    rig.pump.finish("p")
    assert rig.printed == [b"three\n", b"no end"]
    assert rig.pump.last_lines("p") == ("one", "two", "three", "no end")


def test_the_end_does_not_wait_for_who_else_holds_the_pipe(rig: Rig) -> None:
    rig.print(b"last words\n")
    rig.pump.finish("p")
    assert rig.printed == [b"last words\n"]
    with pytest.raises(BrokenPipeError):
        os.write(rig.writer, b"too late\n")


def test_a_plugin_that_closes_its_output_is_not_looked_at_any_more(rig: Rig) -> None:
    rig.print(b"bye\n")
    rig.end()
    assert rig.turn() == [b"bye\n"]
    assert rig.turn() == []
    rig.pump.finish("p")
    assert rig.printed == []


def test_the_next_process_begins_anew(rig: Rig) -> None:
    rig.print(b"old, no end")
    rig.pump.finish("p")
    rig.end()
    rig.printed.clear()
    rig.start()
    rig.print(b"new\n")
    assert rig.turn() == [b"new\n"]
    assert rig.pump.last_lines("p") == ("new",)
    rig.pump.finish("p")


def test_a_plugin_that_floods_is_left_alone_for_a_moment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.pump.finish("p")
    rig.end()
    monkeypatch.setattr(output_pump, "BURST", READ_BYTES)
    monkeypatch.setattr(output_pump, "RATE", 1)
    rig.start()
    block = b"line\n" * (READ_BYTES // 5)
    rig.print(block)
    assert rig.turn() == [block]
    assert rig.pump.next_deadline() is None
    rig.print(b"one more\n")
    assert rig.turn() == [b"one more\n"]
    rig.print(b"b\n")
    assert rig.turn() == []
    deadline = rig.pump.next_deadline()
    assert deadline is not None
    rig.pump.resume(deadline - 0.001)
    assert rig.turn() == []
    rig.pump.resume(deadline)
    assert rig.pump.next_deadline() is None
    assert rig.turn() == [b"b\n"]
    rig.print(b"c\n")
    rig.pump.finish("p")  # which is not put off
    assert rig.printed == [b"c\n"]
    assert rig.pump.next_deadline() is None


def test_marks_are_handed_on_and_last_lines_are_without(rig: Rig) -> None:
    rig.pump.finish("p")
    rig.end()
    reader, rig.writer = os.pipe()
    os.set_blocking(reader, False)
    rig.pump.open("p", reader, mark_start("k"))
    line = marked("k", "error", 5).encode() + b"lost\n"
    rig.print(b"half" + line)
    assert rig.turn() == [mark_start("k") + b"half" + line]
    assert rig.pump.last_lines("p") == ("halflost",)
    rig.pump.finish("p")
