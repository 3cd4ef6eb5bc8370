"""What is said of what a plugin leaves behind: which files are collected, and what of its log is kept."""

from malbox_cli.manifest.specs import DEFAULT_STATE_DIR
from malbox_cli.manifest.table import Table, shown
from plugin_runtime.collecting import Collecting, Rules
from plugin_runtime.log_filter import parse_log_filter

__all__ = ["read_collecting", "read_log_filter"]

_PATHS = ("sample_dir", "artifact_dir", "stash_dir", "log_dir", "external_log_dir")
_MOST = 2**63 - 1  # the largest integer of TOML
_NO_FOLDER = 'is true, but there is no folder; name it with external_log_dir = "/var/log/tool" in [runtime.paths]'


def read_log_filter(table: Table, *, is_ours: bool = True) -> str | None:
    """Return a table's `log_filter`; None if it does not say, or is wrong.

    Args:
        table: The table.
        is_ours: Whether it is the manifest's. What Malbox understands of a plugin.toml and we do not is no error.
    """
    text = table.string("log_filter", expected='a filter such as "info" or "warn,my_plugin=debug"')
    if text is None:
        return None
    try:
        parse_log_filter(text)
    except ValueError as error:
        if is_ours:
            table.error("log_filter", str(error))
        else:
            table.note("log_filter", f"{error}; all of it is passed over")
        return None
    return text


def read_collecting(runtime: Table) -> Collecting:
    """Return what a plugin.toml's table ``[runtime]`` says of collecting, with what is wrong added to its findings."""
    log_folder = _external_log_dir(runtime)
    default = Collecting()
    collect = runtime.table("auto_collect", example="[runtime.auto_collect.artifacts] with enabled = true")
    if collect is None:
        return default
    artifacts = _rules(collect, "artifacts", default.artifacts)
    logs = _rules(collect, "external_logs", default.logs)
    if logs.enabled and not log_folder and (section := collect.table("external_logs", example="")) is not None:
        section.note("enabled", _NO_FOLDER)
    collect.finish()
    return Collecting(artifacts=artifacts, logs=logs, log_folder=log_folder)


def _external_log_dir(runtime: Table) -> str:
    paths = runtime.table("paths", example='[runtime.paths] with sample_dir = "/var/lib/malbox/samples"')
    if paths is None:
        return ""
    for key in _PATHS:
        path = paths.string(key, expected='an absolute path such as "/var/lib/malbox/samples"')
        if path is not None and not path.startswith("/"):
            paths.error(key, f"is {shown(path)}, but has to be an absolute path")
        elif path is not None and key != "external_log_dir":
            paths.note(key, f"is not used: malbox keeps everything in its state folder, {DEFAULT_STATE_DIR}")
    paths.finish()
    folder = paths.data.get("external_log_dir")
    return folder if isinstance(folder, str) else ""


def _rules(collect: Table, key: str, default: Rules) -> Rules:
    section = collect.table(key, example=f"[runtime.auto_collect.{key}] with enabled = true")
    if section is None:
        return default
    enabled = section.boolean("enabled")
    include = section.strings("include", expected='an array of patterns such as ["**/*"]')
    exclude = section.strings("exclude", expected='an array of patterns such as ["*.tmp"]')
    size = section.integer("max_file_size", at_least=0, at_most=_MOST, example=52428800)
    section.finish()
    return Rules(
        enabled=default.enabled if enabled is None else enabled,
        include=default.include if include is None else include,
        exclude=default.exclude if exclude is None else exclude,
        max_file_size=default.max_file_size if size is None else size,
    )
