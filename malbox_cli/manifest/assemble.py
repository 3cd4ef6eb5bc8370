"""A manifest's text, the plugin.toml files that it points at and the programs behind them, put together."""

from pathlib import Path

from malbox_cli.manifest import program
from malbox_cli.manifest.files import Files, Kind, Look
from malbox_cli.manifest.findings import Findings, problems_of
from malbox_cli.manifest.manifest_file import PluginTable, parse_manifest_file
from malbox_cli.manifest.plugin_file import PluginFile, parse_plugin_file
from malbox_cli.manifest.specs import Manifest, PluginSpec, Problem
from malbox_cli.manifest.table import shown_path
from malbox_cli.manifest.toml_text import MAX_BYTES, read_toml

__all__ = ["PLUGIN_FILE", "Reader"]

PLUGIN_FILE = "plugin.toml"


class Reader:
    """Reads one manifest.

    Args:
        shown_path: The manifest as the caller named it, for the problems.
        path: The same, absolute.
        files: The disk.
        python: The interpreter that `{python}` stands for, absolute.
    """

    def __init__(self, shown_path: Path, path: Path, files: Files, python: Path) -> None:
        self._shown = shown_path
        self._path = path
        self._base = path.parent
        self._files = files
        self._python = python
        self._problems_below: list[Problem] = []  # those of the plugin.toml files
        self._read: dict[Path, PluginFile | None] = {}

    def read(self) -> tuple[Manifest | None, tuple[Problem, ...]]:
        """Return the manifest, None if there is an error in it, and every problem and note.

        The manifest's own problems come first, then those of each plugin.toml, each file's in the order of its lines.
        """
        findings = Findings()
        data = self._data(findings)
        text, document = read_toml(data, findings) if data is not None else ("", None)
        manifest = None
        if document is not None:
            read = parse_manifest_file(document, findings)
            specs = [self._spec(table, findings) for table in read.plugins]
            manifest = Manifest(
                path=self._path,
                domain=read.domain,
                state_dir=self._base / read.state_dir,
                stop_timeout=read.stop_timeout,
                plugins=tuple(spec for spec in specs if spec is not None),
            )
        problems = (*problems_of(self._shown, text, findings.found), *self._problems_below)
        return (None if any(problem.severity == "error" for problem in problems) else manifest), problems

    def read_plugin(self, table: PluginTable) -> tuple[PluginSpec | None, tuple[Problem, ...]]:
        """Return what one table of a manifest, which need not be written yet, would run, and every problem with it."""
        findings = Findings()
        spec = self._spec(table, findings)
        problems = (*problems_of(self._shown, "", findings.found), *self._problems_below)
        return (None if any(problem.severity == "error" for problem in problems) else spec), problems

    def _data(self, findings: Findings) -> bytes | None:
        fault = _manifest_fault(self._files.look(self._path))
        if fault is None:
            return self._contents(self._path, findings)
        findings.error((), fault)
        return None

    def _contents(self, path: Path, findings: Findings) -> bytes | None:
        try:
            return self._files.read(path, MAX_BYTES + 1)
        except OSError as error:
            findings.error((), f"cannot be read: {error.strerror or error}")
            return None

    def _spec(self, table: PluginTable, findings: Findings) -> PluginSpec | None:
        folder = self._folder(table, findings)
        # A `path` that was found wrong is one problem: nothing that follows from it is reported.
        if table.has_path and folder is None:
            return None
        about = self._plugin_file(folder, Path(table.path)) if folder is not None and table.path else PluginFile()
        argv = self._argv(table, folder, about, findings)
        if argv is None or about is None:
            return None
        return PluginSpec(
            id=table.id,
            name=about.name or table.id,
            version=about.version or "0.0.0",
            description=about.description,
            argv=tuple(argv),
            cwd=self._base if folder is None else folder,
            env=table.env,
            config=table.config,
            start_timeout=table.start_timeout,
            task_timeout=about.task_timeout if table.task_timeout is None else table.task_timeout,
            stash_threshold=about.stash_threshold,
            declared_results=about.declared_results,
        )

    def _folder(self, table: PluginTable, findings: Findings) -> Path | None:
        """Return a plugin's folder, absolute; None if there is no `path` or something is wrong with it."""
        if table.path is None:
            return None
        folder = self._base / table.path
        fault = _folder_fault(folder, self._files.look(folder), self._files.look(folder / PLUGIN_FILE))
        if fault is None:
            return folder
        findings.error(("plugins", table.id, "path"), fault)
        return None

    def _plugin_file(self, folder: Path, written: Path) -> PluginFile | None:
        """Return what a folder's plugin.toml says; None if it is not even TOML. Its problems are added once."""
        if folder in self._read:
            return self._read[folder]
        findings = Findings()
        data = self._contents(folder / PLUGIN_FILE, findings)
        text, document = read_toml(data, findings) if data is not None else ("", None)
        about = parse_plugin_file(document, findings) if document is not None else None
        self._problems_below += problems_of(self._shown.parent / written / PLUGIN_FILE, text, findings.found)
        self._read[folder] = about
        return about

    def _argv(
        self, table: PluginTable, folder: Path | None, about: PluginFile | None, findings: Findings
    ) -> list[str] | None:
        key = "command" if table.has_command else "path"
        try:
            if table.command is not None:
                return program.from_command(table.command, self._base, folder, self._files, self._python)
            if table.has_command or folder is None or about is None or about.is_guest:
                return None
            return program.from_folder(folder, about.binary, self._files, self._python)
        except program.NoProgram as error:
            findings.error(("plugins", table.id, key), str(error))
            return None


def _manifest_fault(look: Look) -> str | None:
    match look.kind:
        case Kind.FILE:
            return None
        case Kind.MISSING:
            return "does not exist; 'malbox init' writes one, and -f or MALBOX_MANIFEST names another file"
        case Kind.FOLDER:
            return "is a folder; name the manifest in it, such as plugins.toml"
        case Kind.OTHER:
            return "is neither a file nor a folder; name a manifest such as plugins.toml"
        case Kind.UNREACHABLE:
            return f"cannot be read: {look.reason}"


def _folder_fault(folder: Path, look: Look, inside: Look) -> str | None:
    name = shown_path(folder)
    match look.kind, inside.kind:
        case Kind.FOLDER, Kind.FILE:
            return None
        case Kind.FOLDER, Kind.MISSING:
            return f"the folder {name} has no {PLUGIN_FILE}; write one, or use command = [...] without path"
        case Kind.FOLDER, Kind.UNREACHABLE:
            return f"the folder {name} cannot be looked into: {inside.reason}"
        case Kind.FOLDER, kind:
            return f"{shown_path(folder / PLUGIN_FILE)} is {kind.value}, but has to be a file"
        case Kind.MISSING, _:
            return f"the folder {name} does not exist; correct path, which is relative to the manifest's folder"
        case Kind.UNREACHABLE, _:
            return f"the folder {name} cannot be looked at: {look.reason}"
        case kind, _:
            better = (
                "name the folder it is in" if folder.name == PLUGIN_FILE else 'run a program with command = ["..."]'
            )
            return f"{name} is {kind.value}, but path names a plugin's folder; {better}"
