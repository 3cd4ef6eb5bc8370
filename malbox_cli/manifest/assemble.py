"""A manifest's text, the plugin.toml files that it points at and the programs behind them, put together."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from malbox_cli.manifest import program
from malbox_cli.manifest.env_file import EnvLine, env_file_fault, variables_in
from malbox_cli.manifest.files import Files, Kind, Look
from malbox_cli.manifest.findings import Findings, problems_of
from malbox_cli.manifest.host import Host, hold_against
from malbox_cli.manifest.instances import expand, process_ids, too_many
from malbox_cli.manifest.manifest_file import PluginTable, parse_manifest_file
from malbox_cli.manifest.plugin_file import PluginFile, parse_plugin_file
from malbox_cli.manifest.specs import Location, Manifest, ManifestError, PluginSpec, Problem, SmokeTest
from malbox_cli.manifest.subscriptions import connect, name_sources
from malbox_cli.manifest.table import shown_path
from malbox_cli.manifest.tasking import settle_tasking
from malbox_cli.manifest.toml_text import MAX_BYTES, read_text, read_toml

__all__ = ["PLUGIN_FILE", "Reader"]

PLUGIN_FILE = "plugin.toml"


class Reader:
    """Reads one manifest.

    Args:
        shown_path: The manifest as the caller named it, for the problems.
        path: The same, absolute.
        files: The disk.
        host: What the plugins get of this machine.
        env_lines: Cuts the text of an `env_file` into its lines.
    """

    def __init__(
        self, shown_path: Path, path: Path, files: Files, host: Host, env_lines: Callable[[str], Iterable[EnvLine]]
    ) -> None:
        self._shown = shown_path
        self._path = path
        self._base = path.parent
        self._files = files
        self._host = host
        self._env_lines = env_lines
        self._problems_below: list[Problem] = []  # those of the plugin.toml files and environment files
        self._results_from: dict[str, tuple[str, ...]] = {}  # of the plugins for which plugin.toml says it
        self._read: dict[Path, PluginFile | None] = {}
        self._variables: dict[Path, dict[str, str]] = {}

    def read(self) -> tuple[Manifest | None, tuple[Problem, ...]]:
        """Return the manifest, None if there is an error in it, and every problem and note.

        The manifest's own problems come first, then those of each plugin.toml and `env_file`, each file's in the
        order of its lines.
        """
        findings = Findings()
        data = self._data(findings)
        text, document = read_toml(data, findings) if data is not None else ("", None)
        manifest = None
        if document is not None:
            read = parse_manifest_file(document, findings)
            names = {table.id for table in read.plugins}
            specs = [spec for table in read.plugins if (spec := self._spec(table, names, findings)) is not None]
            named = list(name_sources(specs, self._results_from, findings))
            plugins = tuple(connect(list(expand(named, read.instances)), read.instances))
            if (fault := too_many(plugins)) is not None:
                findings.note(("plugins",), f"{fault}: name those to run, as in 'malbox up PLUGIN'")
            manifest = Manifest(
                path=self._path,
                domain=read.domain,
                state_dir=self._base / read.state_dir,
                stop_timeout=read.stop_timeout,
                ledger=read.ledger,
                copy_samples=read.copy_samples,
                plugins=plugins,
                smoke=tuple(test for table in read.plugins for test in self._smoke_tests(table, findings)),
            )
        problems = (*problems_of(self._shown, text, findings.found), *self._problems_below)
        return (None if any(problem.severity == "error" for problem in problems) else manifest), problems

    def locate(self) -> Location:
        """Return where the manifest's supervisor is found.

        Raises:
            ManifestError: There is no such file, or no TOML in it.
        """
        findings = Findings()
        data = self._data(findings)
        text, document = read_toml(data, findings) if data is not None else ("", None)
        if document is None:
            raise ManifestError(problems_of(self._shown, text, findings.found))
        read = parse_manifest_file(document, Findings())  # what else is wrong keeps nobody from finding it
        return Location(
            path=self._path,
            state_dir=self._base / read.state_dir,
            plugin_ids=tuple(read.instances),
            process_ids={name: process_ids(name, count) for name, count in read.instances.items()},
            ledger=read.ledger,
        )

    def read_plugin(self, table: PluginTable) -> tuple[PluginSpec | None, tuple[Problem, ...]]:
        """Return what one table of a manifest, which need not be written yet, would run, and every problem with it."""
        findings = Findings()
        spec = self._spec(table, None, findings)
        problems = (*problems_of(self._shown, "", findings.found), *self._problems_below)
        return (None if any(problem.severity == "error" for problem in problems) else spec), problems

    def _smoke_tests(self, table: PluginTable, findings: Findings) -> Iterator[SmokeTest]:
        for index, keys in enumerate(table.smoke):
            sample = None if keys.sample is None else self._base / keys.sample
            if sample is not None and self._files.look(sample).kind is not Kind.FILE:
                where = ("plugins", table.id, "smoke", index, "sample")
                findings.note(where, f"{shown_path(sample)} is no file that can be read now; the test would fail")
            yield SmokeTest(
                plugin=table.id,
                name=keys.name,
                sample=sample,
                data=keys.data,
                config=keys.config,
                results=keys.results,
                json=keys.json,
                verdict=keys.verdict,
                outcome=keys.outcome,
                error=keys.error,
                timeout=keys.timeout,
            )

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

    def _spec(self, table: PluginTable, names: Collection[str] | None, findings: Findings) -> PluginSpec | None:
        """Return what a table says, its instances as one; `names` are those of all tables, None if unknown."""
        process, lifetime, tasks = table.process, table.lifetime, table.tasks
        hold_against(self._host, process, ("plugins", table.id), findings)
        env = {**self._env_file(table, findings), **process.env}
        folder = self._folder(table, findings)
        # A `path` that was found wrong is one problem: nothing that follows from it is reported.
        if table.has_path and folder is None:
            return None
        about = self._plugin_file(folder, Path(table.path)) if folder is not None and table.path else PluginFile()
        argv = self._argv(table, folder, about, findings)
        processors = len(process.cpus or self._host.cpus)
        tasking = settle_tasking(table, about, processors, names, findings) if about is not None else None
        if argv is None or about is None or tasking is None:
            return None
        if table.subscribe is None and about.results_from is not None:
            self._results_from[table.id] = about.results_from
        return PluginSpec(
            id=table.id,
            name=about.name or table.id,
            version=about.version or "0.0.0",
            description=about.description,
            argv=tuple(argv),
            cwd=self._base if folder is None else folder,
            env=env,
            inherit_env=process.inherit_env,
            config=table.config,
            start_timeout=lifetime.start_timeout,
            task_timeout=about.task_timeout if lifetime.task_timeout is None else lifetime.task_timeout,
            stash_threshold=about.stash_threshold,
            declared_results=about.declared_results,
            after=lifetime.after,
            restart=lifetime.restart,
            success_exit_codes=lifetime.success_exit_codes,
            no_restart_exit_codes=lifetime.no_restart_exit_codes,
            health_interval=lifetime.health_interval,
            heartbeat=lifetime.heartbeat,
            limits=process.limits,
            nice=process.nice,
            cpus=process.cpus,
            execution=tasking.execution,
            concurrency=tasking.concurrency,
            state=tasking.state,
            spare=tasks.spare,
            scope=tasking.scope,
            queue_size=tasks.queue_size,
            retries=tasks.retries,
            cancel_grace=tasks.cancel_grace,
            log_filter=table.log_filter if table.log_filter is not None else about.log_filter,
            collect=about.collect,
            subscribe=table.subscribe or (),
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

    def _env_file(self, table: PluginTable, findings: Findings) -> Mapping[str, str]:
        """Return the variables of a plugin's `env_file`; a file's problems are added once."""
        if table.process.env_file is None:
            return {}
        file = self._base / table.process.env_file
        fault = env_file_fault(file, self._files.look(file))
        if fault is not None:
            findings.error(("plugins", table.id, "env_file"), fault)
            return {}
        if file not in self._variables:
            inside = Findings()
            data = self._contents(file, inside)
            text = read_text(data, inside) if data is not None else None
            self._variables[file] = variables_in(self._env_lines(text), inside) if text is not None else {}
            self._problems_below += problems_of(self._shown.parent / table.process.env_file, "", inside.found)
        return self._variables[file]

    def _argv(
        self, table: PluginTable, folder: Path | None, about: PluginFile | None, findings: Findings
    ) -> list[str] | None:
        key = "command" if table.has_command else "path"
        try:
            if table.command is not None:
                return program.from_command(table.command, self._base, folder, self._files, self._host.python)
            if table.has_command or folder is None or about is None or about.is_guest:
                return None
            return program.from_folder(folder, about.binary, self._files, self._host.python)
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
