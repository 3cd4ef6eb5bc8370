"""A folder for one run of a supervisor: its lock, its control socket and the root of its shared memory.

Each run has a folder and a prefix of its own, so that everything it leaves can be removed without asking iceoryx2: the
folder, and the files in shared memory whose names begin with the prefix. The lock says whether the run still goes on;
the kernel lets go of it however the process ends.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import select
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.supervisor.strays import end_strays, mark_of, nonce_in
from plugin_runtime.errors import MalboxError
from plugin_runtime.ports.domain import DEFAULT_DOMAIN, Domain

__all__ = [
    "RunFolder",
    "RunPlan",
    "base_folder",
    "base_path",
    "goes_on",
    "nonce_of",
    "prefix_of",
    "prefix_of_runs",
    "remove_leftovers",
    "require_ours",
    "runs_in",
]

SHARED_MEMORY = Path("/dev/shm")
LOCK, SOCKET, ROOT = "malbox-run.lock", "control.sock", "shm"
CLAIM_SECONDS = 3.0
CLAIM_PAUSE_SECONDS = 0.02
END_SECONDS = 1.0
"""How long the processes of a dead run are looked for and killed."""
MAX_TRIES = 100
MAX_BASE_BYTES = 32
"""Above it the root and the prefix of a run of its own would not fit into what iceoryx2 allows."""
OWN_NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{6}")


@dataclass(slots=True)
class RunFolder:
    """One run's folder, held until `remove`.

    Attributes:
        path: The folder, 0700.
        domain: What its processes share memory in.
        lock: The descriptor that holds the lock.
        nonce: What the marks of the run's processes begin with; not 0.
    """

    path: Path
    domain: Domain
    lock: int
    nonce: int

    @property
    def socket(self) -> Path:
        """Where the control socket is bound."""
        return self.path / SOCKET

    def remove(self) -> None:
        """Remove the folder and what is left in shared memory. To be called when none of its processes is left."""
        _remove(self.path)
        os.close(self.lock)
        with suppress(OSError):
            self.path.parent.rmdir()  # it stays where another run has its folder in it


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run's folder before there is anything of it: what to clean up is known to somebody before it is made.

    Attributes:
        path: Where the folder will be.
        domain: What the run's processes will share memory in.
        nonce: What the marks of the run's processes begin with; not 0.
        is_named: Whether the manifest names the domain, so that another supervisor may have it.
    """

    path: Path
    domain: Domain
    nonce: int
    is_named: bool

    @classmethod
    def of(cls, manifest: Path, domain: str | None) -> "RunPlan":
        """Return the plan of a new run.

        Args:
            manifest: Whose run it is.
            domain: The domain's name in the manifest; None for one of its own, ``default`` for iceoryx2's.

        Raises:
            MalboxError: The folder's name is too long for shared memory.
        """
        name = domain or f"{hashlib.sha256(os.fsencode(manifest)).hexdigest()[:8]}-{secrets.token_hex(3)}"
        path = base_path() / name
        try:
            shared = DEFAULT_DOMAIN if domain == "default" else Domain(str(path / ROOT), prefix_of(path))
        except ValueError as error:
            raise MalboxError(f"{error}, with MALBOX_RUNTIME_DIR, or give the domain a shorter name") from error
        return cls(path, shared, 1 + secrets.randbelow(2**32 - 1), domain is not None)

    def make(self) -> "RunFolder":
        """Make the folder, after removing what dead runs left.

        Raises:
            MalboxError: It cannot be made, or another supervisor runs in that domain.
        """
        path, root = self.path, self.path / ROOT
        remove_leftovers(base_folder())
        lock = _claim(path, wait=self.is_named)
        try:
            _end_processes(path)  # of a dead run in the same domain
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n{self.nonce}\n".encode(), 0)
            if not self.domain.is_default:
                _remove_shared_memory(path)
                shutil.rmtree(root, ignore_errors=True)
                root.mkdir(mode=0o700)
        except OSError as error:
            _remove(path)
            os.close(lock)
            raise MalboxError(f"cannot make the folder {root}: {error.strerror}") from error
        return RunFolder(path, self.domain, lock, self.nonce)


def prefix_of(folder: Path) -> str:
    """Return what the names of the files in shared memory of a run with this folder begin with."""
    return f"{prefix_of_runs(folder.parent)}{hashlib.sha256(os.fsencode(folder.name)).hexdigest()[:7]}_"


def prefix_of_runs(base: Path) -> str:
    """Return what the names of the files in shared memory of all runs with their folders in `base` begin with."""
    return f"mb{hashlib.sha256(os.fsencode(base)).hexdigest()[:3]}"


def base_folder() -> Path:
    """Return the folder of all of this user's runs, 0700; make it if it is missing.

    Raises:
        MalboxError: It cannot be made, or is not ours alone.
    """
    base = base_path()
    try:
        status = _make_folder(base)
    except OSError as error:
        raise MalboxError(f"cannot make the folder {base}: {error.strerror}") from error
    require_ours(base, status)
    return base


def base_path() -> Path:
    """Return where the folder of all of this user's runs is, or will be.

    It is named by MALBOX_RUNTIME_DIR, or is ``malbox`` in XDG_RUNTIME_DIR, or ``malbox-UID`` in the temporary folder.

    Raises:
        MalboxError: Its name is too long.
    """
    named = os.environ.get("MALBOX_RUNTIME_DIR")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if named:
        base = Path(named).absolute()
    elif runtime and len(os.fsencode(runtime)) < MAX_BASE_BYTES - len("/malbox") and os.path.isdir(runtime):
        base = Path(runtime, "malbox")
    else:
        base = Path("/tmp", f"malbox-{os.getuid()}")
    if len(os.fsencode(base)) > MAX_BASE_BYTES:
        raise MalboxError(
            f"the folder {base} has a name of more than {MAX_BASE_BYTES} bytes, too long for shared memory: "
            "set MALBOX_RUNTIME_DIR to a shorter one"
        )
    return base


def require_ours(base: Path, status: os.stat_result) -> None:
    """Check that the folder of the runs, which has this status, is this user's alone.

    Raises:
        MalboxError: It is not.
    """
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise MalboxError(
            f"{base} is not a folder of this user alone (0700): remove it, or set MALBOX_RUNTIME_DIR to another one"
        )


def _make_folder(path: Path) -> os.stat_result:
    """Make a folder that may be there, and that whoever ends removes if it is empty; return its status."""
    for _ in range(MAX_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return path.lstat()
    raise FileExistsError(errno.EEXIST, "it is no folder, or comes and goes")


def remove_leftovers(base: Path) -> int:
    """Remove the folders below `base` whose runs are over, and end their processes; return how many there were."""
    count = 0
    for name in _names_in(base):
        path = base / name
        with suppress(OSError):
            lock = _lock(path, os.O_RDWR)
            if lock is not None:
                _end_processes(path)
                _remove(path)
                os.close(lock)
                count += 1
        if OWN_NAME.fullmatch(name):
            with suppress(OSError):
                path.rmdir()  # one that was killed before it had its lock leaves it empty
    return count


def runs_in(base: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders below `base` of runs that go on, and of those that are over and left something."""
    living, over = list[Path](), list[Path]()
    for path in (base / name for name in _names_in(base)):
        with suppress(OSError):  # it has no lock: it is no run's, or it begins or ends just now
            (living if goes_on(path) else over).append(path)
    return living, over


def goes_on(run: Path) -> bool:
    """Return whether a run goes on; where its supervisor was killed it does until that is cleaned up.

    Raises:
        OSError: It is no run's folder.
    """
    lock = _lock(run, os.O_RDWR)
    if lock is None:
        return True
    os.close(lock)
    return False


def nonce_of(run: Path) -> int | None:
    """Return what the marks of a run's processes begin with; None where its folder does not say."""
    return _line(run, 1)


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []  # a run that ended has just removed it


def _remove(path: Path) -> None:
    """Remove a run's folder, which is locked; its lock goes last, because whoever waits for it then begins at once."""
    _remove_shared_memory(path)
    for name in _names_in(path):
        if name != LOCK:
            shutil.rmtree(path / name, ignore_errors=True)
            with suppress(OSError):
                (path / name).unlink()
    with suppress(OSError):
        (path / LOCK).unlink()
        path.rmdir()


def _remove_shared_memory(path: Path) -> None:
    for file in SHARED_MEMORY.glob(f"{prefix_of(path)}*"):
        file.unlink(missing_ok=True)


def _claim(path: Path, *, wait: bool) -> int:
    """Make a run's folder and lock it; return the descriptor that holds the lock.

    A killed run's guardian holds its lock until it has cleaned up. With `wait` it is waited for: the name is wanted.

    Raises:
        MalboxError: It cannot be made, or a living supervisor has it.
    """
    give_up_at = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            base_folder()
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            lock = _lock(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            lock = None  # a run that ended has just removed the folder
        except OSError as error:
            raise MalboxError(f"cannot make the folder {path}: {error.strerror}") from error
        if lock is not None:
            return lock
        if time.monotonic() > give_up_at or (wait and _holder_lives(path)):
            raise MalboxError(f"another supervisor runs in the domain {path.name!r}: {_holder(path)}")
        time.sleep(CLAIM_PAUSE_SECONDS)


def _lock(folder: Path, flags: int) -> int | None:
    """Lock a run's folder, and return the descriptor that holds the lock; None: a living process has it.

    Raises:
        FileNotFoundError: The folder has no lock, or was removed meanwhile.
    """
    descriptor = os.open(folder / LOCK, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have removed the file that was opened here.
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder / LOCK)):
            raise FileNotFoundError(errno.ENOENT, "it was removed", str(folder))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _end_processes(folder: Path) -> None:
    """End what a dead run has left running, which carries its mark: its guardian could not, if that was killed too."""
    nonce = nonce_of(folder)
    if nonce:
        end_strays(lambda pid: nonce_in(mark_of(pid)) == nonce, END_SECONDS)


def _holder_lives(folder: Path) -> bool:
    pid = _line(folder, 0)
    if pid is None:
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        return not select.select([pidfd], [], [], 0)[0]  # readable: it has ended, and nobody has reaped it yet
    finally:
        os.close(pidfd)


def _holder(folder: Path) -> str:
    pid = _line(folder, 0)
    return "its process is not known" if pid is None else f"process {pid}"


def _line(folder: Path, index: int) -> int | None:
    """Return one of the numbers that are in a run's lock, each on its line: the supervisor's process, the nonce."""
    try:
        return int((folder / LOCK).read_text().splitlines()[index])
    except (OSError, ValueError, IndexError):
        return None
