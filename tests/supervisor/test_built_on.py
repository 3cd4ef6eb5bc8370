"""Which iceoryx2 a program was built on, from its file."""

import os
from pathlib import Path

import pytest

from malbox_cli.supervisor.built_on import BLOCK_BYTES, MAX_BYTES, BuiltOn
from malbox_cli.supervisor.processes import SpawnError

OURS = "0.10.0"
SOURCE = "/home/u/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/iceoryx2-{}/src/node/mod.rs"


def program(folder: Path, *releases: str, before: int = 4096, head: bytes = b"\x7fELF") -> str:
    path = folder / "program"
    sources = "".join(SOURCE.format(release) for release in releases).encode()
    path.write_bytes(head + bytes(before) + sources + b"\0the rest")
    return str(path)


def test_another_release_is_named_with_ours_and_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        SpawnError, match=r"^built on iceoryx2 0\.9\.3, malbox runs on 0\.10\.0, .* iceoryx2 = "
    ) as told:
        BuiltOn().require(program(tmp_path, "0.9.3"), OURS)
    assert not told.value.is_transient


@pytest.mark.parametrize("releases", [(OURS,), (), ("0.9.3", OURS)], ids=["ours", "none", "ours too"])
def test_what_may_fit_is_let_through(tmp_path: Path, releases: tuple[str, ...]) -> None:
    BuiltOn().require(program(tmp_path, *releases), OURS)


def test_nothing_is_refused_where_our_own_release_is_not_known(tmp_path: Path) -> None:
    BuiltOn().require(program(tmp_path, "0.9.3"), "")


def test_what_is_no_compiled_program_is_not_looked_into(tmp_path: Path) -> None:
    BuiltOn().require(program(tmp_path, "0.9.3", head=b"#!/bin/sh\n"), OURS)


def test_a_program_that_is_not_there_is_told_of_by_who_starts_it(tmp_path: Path) -> None:
    BuiltOn().require(str(tmp_path / "none"), OURS)


@pytest.mark.parametrize("cut", range(0, 90, 15))
def test_text_across_the_end_of_a_block_is_found(tmp_path: Path, cut: int) -> None:
    with pytest.raises(SpawnError):
        BuiltOn().require(program(tmp_path, "0.9.3", before=BLOCK_BYTES - 4 - cut), OURS)


def test_of_a_huge_program_only_the_beginning_is_read(tmp_path: Path) -> None:
    path = program(tmp_path)
    with open(path, "r+b") as file:
        file.seek(MAX_BYTES + BLOCK_BYTES)
        file.write(SOURCE.format("0.9.3").encode())
    BuiltOn().require(path, OURS)


def test_a_program_that_was_built_again_is_looked_into_again(tmp_path: Path) -> None:
    built_on = BuiltOn()
    path = program(tmp_path, "0.9.3")
    with pytest.raises(SpawnError):
        built_on.require(path, OURS)
    os.utime(program(tmp_path, OURS), ns=(1, 1))
    built_on.require(path, OURS)
