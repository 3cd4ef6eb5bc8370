"""Domains of shared memory for tests that use the real ports."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import silence_log


@contextmanager
def fresh_domain() -> Iterator[Domain]:
    """A domain of its own; when it is over nothing but iceoryx2's one global file may be left in it."""
    silence_log(verbose=False)
    root = tempfile.mkdtemp(prefix="mbt", dir="/tmp")
    prefix = f"mbt{uuid.uuid4().hex[:8]}_"
    try:
        yield Domain(root, prefix)
    finally:
        files = sorted(path.name for path in Path("/dev/shm").glob(f"{prefix}*"))
        rest = sorted(path.name for folder in ("nodes", "services") for path in Path(root, folder).glob("*"))
        for name in files:
            Path("/dev/shm", name).unlink()
        shutil.rmtree(root)
    assert [name for name in files if not name.endswith(".global_mgmt")] == []
    assert rest == []
