"""The manifest's own text, before the folders and programs that it names are looked at."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from malbox_cli.manifest.collect_keys import read_log_filter
from malbox_cli.manifest.dependencies import check_dependencies, check_scopes, check_subscriptions
from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.instances import MAX_ID_LENGTH, check_instances
from malbox_cli.manifest.lifetime import Lifetime, read_lifetime
from malbox_cli.manifest.process_keys import ProcessKeys, read_process_keys
from malbox_cli.manifest.smoke_keys import SmokeKeys, read_smoke_tests
from malbox_cli.manifest.specs import DEFAULT_STATE_DIR, DEFAULT_STOP_TIMEOUT, OWN_NAME
from malbox_cli.manifest.table import Table, describe, shown
from malbox_cli.manifest.task_keys import TaskKeys, read_task_keys
from malbox_cli.manifest.unsupported import keys_not_supported, refuse_what_is_not_supported
from plugin_runtime.wire.names import is_plugin_id

__all__ = ["ManifestFile", "PluginTable", "parse_manifest_file"]

_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,24}")
_PLUGIN_EXAMPLE = '[plugins.yara] with path = "examples/plugins/yara"'


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginTable:
    """One table ``[plugins.<id>]``; a key that is absent, or was found wrong, is None or empty.

    Attributes:
        id: The table's name.
        has_path: Whether there is a key `path`, right or wrong.
        has_command: Whether there is a key `command`, right or wrong.
        path: The plugin's folder, as written.
        command: The program and its arguments, as written.
        config: What `on_start` gets.
        process: What is said of its process.
        lifetime: What is said of its life.
        tasks: What is said of its tasks.
        smoke: Its smoke tests.
        log_filter: What of its log is kept; None if plugin.toml decides.
        subscribe: The plugins whose results it gets; None if plugin.toml decides.
    """

    id: str
    has_path: bool = False
    has_command: bool = False
    path: str | None = None
    command: tuple[str, ...] | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    process: ProcessKeys = field(default_factory=ProcessKeys)
    lifetime: Lifetime = field(default_factory=Lifetime)
    tasks: TaskKeys = field(default_factory=TaskKeys)
    smoke: tuple[SmokeKeys, ...] = ()
    log_filter: str | None = None
    subscribe: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """What the manifest's text says.

    Attributes:
        domain: The domain's name, None for one of its own.
        state_dir: The state's folder, as written.
        stop_timeout: Seconds that a plugin has to end by itself.
        ledger: Whether tasks are kept on disk.
        copy_samples: Whether plugins get a copy of each sample.
        plugins: Its tables, in the order of the file.
    """

    domain: str | None = None
    state_dir: str = DEFAULT_STATE_DIR
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    ledger: bool = True
    copy_samples: bool = False
    plugins: tuple[PluginTable, ...] = ()

    @property
    def instances(self) -> Mapping[str, int]:
        """How many processes each table runs as, by its name."""
        return {table.id: table.tasks.instances for table in self.plugins}


def parse_manifest_file(document: Mapping[str, object], findings: Findings) -> ManifestFile:
    """Return what a manifest says, with whatever is wrong with it added to the findings."""
    top = Table(document, (), findings)
    settings = top.table("malbox", example='[malbox] with state_dir = ".malbox"')
    plugins = top.table("plugins", example=_PLUGIN_EXAMPLE)
    top.finish()
    if not document:
        findings.error((), f"is empty; add a table for each plugin, such as {_PLUGIN_EXAMPLE}, or run 'malbox init'")
    elif plugins is not None and not plugins.data:
        findings.error(("plugins",), f"has no plugin; add a table for each, such as {_PLUGIN_EXAMPLE}")
    elif not top.has("plugins") and set(document) <= {"malbox"}:
        findings.error((), f"has no plugin; add a table for each, such as {_PLUGIN_EXAMPLE}")

    domain = state_dir = stop_timeout = ledger = copy_samples = None
    if settings is not None:
        domain = _domain(settings)
        state_dir = settings.string("state_dir", expected=f'a folder such as "{DEFAULT_STATE_DIR}"')
        stop_timeout = settings.duration("stop_timeout", example="10s")
        ledger, copy_samples = settings.boolean("ledger"), settings.boolean("copy_samples")
        settings.finish()
    return ManifestFile(
        domain=domain,
        state_dir=DEFAULT_STATE_DIR if state_dir is None else state_dir,
        stop_timeout=DEFAULT_STOP_TIMEOUT if stop_timeout is None else stop_timeout,
        ledger=True if ledger is None else ledger,
        copy_samples=copy_samples or False,
        plugins=_plugins(plugins, findings) if plugins is not None else (),
    )


def _domain(settings: Table) -> str | None:
    domain = settings.string("domain", expected='a name such as "lab"')
    if domain is None or _DOMAIN.fullmatch(domain):
        return domain
    settings.error("domain", f"is {shown(domain)}; a domain's name has 1 to 24 of A-Z, a-z, 0-9, _ and -")
    return None


def _plugins(plugins: Table, findings: Findings) -> tuple[PluginTable, ...]:
    read = []
    for plugin_id, value in plugins.data.items():
        if not isinstance(value, dict):
            # Most likely a key of a plugin that stands outside of a plugin's table.
            message = f"is {describe(value)}, expected a table of one plugin such as {_PLUGIN_EXAMPLE}"
            findings.error(("plugins", plugin_id), message)
            continue
        if not is_plugin_id(plugin_id) or len(plugin_id) > MAX_ID_LENGTH:
            message = (
                f"{shown(plugin_id)} cannot be a plugin's id, which has 1 to {MAX_ID_LENGTH} of the characters"
                " A-Z, a-z, 0-9, _ and -; rename the table"
            )
            findings.error(("plugins", plugin_id), message)
        elif plugin_id == OWN_NAME:
            message = "is what malbox calls itself in the logs, so no plugin can be called so; rename the table"
            findings.error(("plugins", plugin_id), message)
        read.append(_plugin(plugin_id, Table(value, ("plugins", plugin_id), findings), findings))
    instances = {table.id: table.tasks.instances for table in read}
    check_instances(instances, plugins.data, findings)
    check_dependencies({table.id: table.lifetime.after for table in read}, plugins.data, instances, findings)
    check_scopes({table.id: table.tasks.scope or () for table in read}, plugins.data, instances, findings)
    check_subscriptions({table.id: table.subscribe or () for table in read}, plugins.data, instances, findings)
    return tuple(read)


def _plugin(plugin_id: str, table: Table, findings: Findings) -> PluginTable:
    path = table.string("path", expected='the plugin\'s folder, such as "examples/plugins/yara"')
    command = _command(table)
    if not table.has("path") and not table.has("command"):
        message = (
            "says neither path nor command, so there is nothing to run;"
            ' add path = "FOLDER" for a folder with a plugin.toml, or command = ["PROGRAM", "ARGUMENT"]'
        )
        findings.error(table.path, message)
    config = table.string_map("config", example='config = { max_size = "64MiB" }', refuse_name=_refuse_nul)
    subscribe = table.strings("subscribe", expected='an array of plugins\' ids such as ["file-info"]')
    read = PluginTable(
        id=plugin_id,
        has_path=table.has("path"),
        has_command=table.has("command"),
        path=path,
        command=command,
        config=config,
        process=read_process_keys(table),
        lifetime=read_lifetime(table),
        tasks=read_task_keys(table),
        smoke=read_smoke_tests(table, refuse_name=_refuse_nul),
        log_filter=read_log_filter(table),
        subscribe=() if subscribe is None and table.has("subscribe") else subscribe,
    )
    table.know_silently(*keys_not_supported())
    refuse_what_is_not_supported(table.data, table.path, findings)
    table.finish()
    return read


def _command(table: Table) -> tuple[str, ...] | None:
    example = 'an array of strings such as ["{python}", "-m", "my_plugins.yara"]'
    command = table.strings("command", expected=f"{example}: the program first, then its arguments")
    if command is not None and (not command or not command[0]):
        table.error("command", f"names no program; write {example}")
        return None
    return command


def _refuse_nul(name: str) -> str | None:
    return f"{shown(name)} has a NUL character in it; remove it" if "\0" in name else None
