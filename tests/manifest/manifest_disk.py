"""A disk and a machine that are not there, to read manifests against."""

from collections.abc import Mapping
from pathlib import Path

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.files import Files, Kind, Look
from malbox_cli.manifest.host import Host
from malbox_cli.manifest.specs import Manifest, PluginSpec, Problem

HOST = Host(python=Path("/python"), cpus=frozenset({0, 1, 2, 5}))
MANIFEST = Path("plugins.toml")

PLUGIN = '[plugins.a]\npath = "p"\n'


class FakeFiles(Files):
    """A disk with one manifest, one plugin folder, one program and perhaps more files, all else missing."""

    def __init__(self, manifest: bytes, plugin_toml: bytes, more: Mapping[str, bytes] | None = None) -> None:
        self._files = {Path("/m/plugins.toml"): manifest, Path("/m/p/plugin.toml"): plugin_toml}
        self._files |= {Path("/m") / name: data for name, data in (more or {}).items()}

    def look(self, path: Path) -> Look:
        if path in self._files or path in (Path("/python"), Path("/m/p/main.py")):
            return Look(Kind.FILE, may_execute=path == Path("/python"))
        return Look(Kind.FOLDER if path == Path("/m/p") else Kind.MISSING)

    def find_program(self, name: str) -> Path | None:
        return Path("/python") if name == "python" else None

    def read(self, path: Path, limit: int) -> bytes:
        return self._files[path][:limit]


def read_text(
    text: str, files: Mapping[str, bytes] | None = None, host: Host = HOST
) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """Return what /m/plugins.toml with this text says, where it is called plugins.toml, and its problems."""
    about = b'[plugin]\nname = "p"\nversion = "1.0.0"\ntype = "host"\n'
    disk = FakeFiles(text.encode(), about, files)
    return Reader(MANIFEST, Path("/m/plugins.toml"), disk, host, read_dotenv).read()


def spec_of(body: str, files: Mapping[str, bytes] | None = None, host: Host = HOST) -> PluginSpec:
    """Return the plugin with these lines in its table, which have no problem."""
    manifest, problems = read_text(f"{PLUGIN}{body}\n", files, host)
    assert [str(problem) for problem in problems] == []
    assert manifest is not None
    return manifest.plugins[0]


def errors_of(body: str, files: Mapping[str, bytes] | None = None, host: Host = HOST) -> list[str]:
    """Return the problems of a plugin with these lines in its table, from line 3 on; at least one is an error."""
    manifest, problems = read_text(f"{PLUGIN}{body}\n", files, host)
    assert manifest is None
    assert any(problem.severity == "error" for problem in problems)
    return [str(problem) for problem in problems]


def notes_of(body: str, files: Mapping[str, bytes] | None = None, host: Host = HOST) -> list[str]:
    """Return the notes on a plugin with these lines in its table, from line 3 on; there is no error."""
    manifest, problems = read_text(f"{PLUGIN}{body}\n", files, host)
    assert manifest is not None
    assert {problem.severity for problem in problems} <= {"note"}
    return [str(problem) for problem in problems]
