"""What was announced is there after a power cut: found in nothing but what was synced, at whatever moment that is."""

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import Writing

from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_schema import ledger_path

HERE = Path(__file__).parent
TASKS = 40
SUPERVISOR = """
import queue, sys
from pathlib import Path
from ledgers import *
from malbox_cli.store.results import ResultWriter
from malbox_cli.supervisor.events import ResultStored
from plugin_runtime.wire.messages import DataFormat

state = Path(sys.argv[1])
stored = queue.SimpleQueue()
writer, writing = ResultWriter(state, stored.put), Writing(state)
first = writing.ledger.first_ids.first
for task in range(first, first + 10**6):
    for entry in (added(task), began(task)):
        writing.write(entry)
    data = b"%d " % task * (10 if task % 2 else 10_000)
    writer.write(task, "r", DataFormat.BYTES, data, is_first=True, is_last=True)
    while not isinstance(answer := stored.get(), ResultStored): pass
    writing.write(kept(task, 1, answer.data, answer.path, sha256=answer.sha256))
    writing.write(finished(task))
    writing.until(writing.write(ended(task)))
    print(task, flush=True)
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make what watches the syncs")
    library = tmp_path_factory.mktemp("shim") / "synced.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "synced.c", "-ldl"], check=True, timeout=60)
    return library


def run_until_cut(shim: Path, state: Path, synced: Path, after: int, seed: random.Random) -> int:
    """Have tasks done, cut the power after some, and return the last that was announced."""
    environment = {**os.environ, "LD_PRELOAD": str(shim), "SYNCED_FROM": str(state), "SYNCED_TO": str(synced)}
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, state], cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line)
        if told >= after:
            break
    for _ in range(seed.randrange(20_000)):  # somewhere in the next one
        pass
    process.kill()
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait(30)
    assert told >= after, "it ended by itself"
    return int(rest[-1]) if rest else told


def restore(state: Path, synced: Path, target: Path) -> None:
    """Make a folder of what was synced: a file whose name was and whose bytes were not is empty."""
    for listing in (synced / "d").iterdir():
        path, *names = listing.read_text().splitlines()
        folder = target / Path(path).relative_to(state)
        folder.mkdir(parents=True, exist_ok=True)
        for inode, _, name in (line.partition(" ") for line in names):
            kept = synced / "i" / inode
            if not name.endswith("-shm"):
                (folder / name).write_bytes(kept.read_bytes() if kept.exists() else b"")


@pytest.mark.parametrize("seed", range(4))
def test_what_was_announced_is_there_after_a_power_cut(shim: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    state, synced, after = tmp_path / "state", tmp_path / "synced", tmp_path / "after"
    state.mkdir()
    for kind in "di":
        (synced / kind).mkdir(parents=True)
    told = run_until_cut(shim, state, synced, chance.randrange(1, TASKS), chance)

    restore(state, synced, after)

    with LedgerReader(after) as reader:
        rows = {row.task: row for row in reader.tasks()}
        assert set(range(1, told + 1)) <= {task for task, row in rows.items() if row.state.is_final}
        results = [result for task in range(1, told + 1) for result in reader.results(task)]
    assert len(results) == told
    with closing(sqlite3.connect(ledger_path(after))) as db, db:
        db.execute("UPDATE sessions SET boot = 'before the cut'")
    assert Writing(after).ledger.close()
    for result in results:
        assert result.path is not None
        data = (after / Path(result.path).relative_to(state)).read_bytes()
        assert hashlib.sha256(data).hexdigest() == result.sha256, result
