"""What a process learns from its environment: whose plugin it is, and what its supervisor offers on top."""

import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from plugin_runtime.collecting import Collecting
from plugin_runtime.errors import EnvironmentProblem
from plugin_runtime.log_filter import parse_log_filter
from plugin_runtime.ports.domain import DEFAULT_DOMAIN, Domain
from plugin_runtime.wire.names import BEAT_SLOTS, CREDIT_SLOTS, RESULT_SLOTS, is_plugin_id

__all__ = ["DEFAULT_FILE_REF_THRESHOLD", "PROTOCOL_VERSION", "SET_BY_SUPERVISOR", "PluginEnvironment", "Source"]

PROTOCOL_VERSION = 1
"""The version of the extensions to the protocol that this runtime speaks."""

DEFAULT_FILE_REF_THRESHOLD = 1 << 20
"""Bytes up to which a file is pushed as bytes; a larger one is handed over by its path."""

PLUGIN_ID = "MALBOX_PLUGIN_ID"
PROTOCOL = "MALBOX_PROTOCOL"
SUPERVISOR_PID = "MALBOX_SUPERVISOR_PID"
INSTANCE = "MALBOX_INSTANCE"
DOMAIN_ROOT = "MALBOX_DOMAIN_ROOT"
DOMAIN_PREFIX = "MALBOX_DOMAIN_PREFIX"
CONFIG = "MALBOX_CONFIG"
FILE_REF_THRESHOLD = "MALBOX_FILE_REF_THRESHOLD"
ICEORYX2 = "MALBOX_ICEORYX2"
HEARTBEAT = "MALBOX_HEARTBEAT"
CONCURRENCY = "MALBOX_CONCURRENCY"
VERBOSE = "MALBOX_VERBOSE"
DEBUG = "MALBOX_DEBUG"
LOG = "MALBOX_LOG"
LOG_FILTER = "MALBOX_LOG_FILTER"
ARTIFACTS = "MALBOX_ARTIFACTS"
COLLECT = "MALBOX_COLLECT"
LISTENERS = "MALBOX_LISTENERS"
SOURCES = "MALBOX_SOURCES"
DEBUGGER = "MALBOX_DEBUGGER"

SET_BY_SUPERVISOR = frozenset(
    {
        *(PLUGIN_ID, PROTOCOL, SUPERVISOR_PID, INSTANCE, DOMAIN_ROOT, DOMAIN_PREFIX, CONFIG, FILE_REF_THRESHOLD),
        *(ICEORYX2, HEARTBEAT, CONCURRENCY, VERBOSE, DEBUG, LOG, LOG_FILTER, ARTIFACTS, COLLECT),
        *(LISTENERS, SOURCES, DEBUGGER),
    }
)
"""What a supervisor tells its plugins; another value would make one talk to the wrong supervisor."""

MAX_DIGITS = 19
"""Digits below which a number fits 64 bits."""

LEAST_HEARTBEAT = 0.01
"""Seconds between two heartbeats below which a plugin would be busy with nothing else."""

_HEARTBEAT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,20})?) ([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Source:
    """A process whose results are subscribed to.

    Attributes:
        id: Its id.
        plugin: The plugin it is a process of.
        slot: As which of its subscribers we speak to it.
    """

    id: str
    plugin: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEnvironment:
    """What the environment says.

    Attributes:
        plugin_id: The plugin's id.
        supervisor_pid: The process of a supervisor that knows our extensions; None under a foreign daemon.
        instance: The nonce of this start, empty under a foreign daemon.
        domain: Where the services are.
        config: What `Plugin.on_start` gets.
        file_ref_threshold: Bytes up to which a file is pushed as bytes.
        iceoryx2: The release of iceoryx2 that the supervisor loaded; empty where that is not known.
        heartbeat: Seconds between two heartbeats of the loop; None where nobody asks for them.
        heartbeat_slot: Which slot's heartbeats they are.
        concurrency: How many tasks it is sent at once.
        verbose: Whether iceoryx2's own log lines are wanted.
        debug: The one task to run under a debugger instead of talking to a supervisor, as `debugging` reads it; empty
            where there is none.
        log_mark: What the supervisor knows the marks of lines by; empty where it reads none.
        log_filter: What of its log is kept; empty where nobody said.
        artifacts: The folder in which each task has its own for files; empty: there is none.
        collect: What is collected when a task ends.
        listeners: The processes that subscribe to its results, by their slots.
        sources: The processes whose results it subscribes to.
        debugger: The address, as ``127.0.0.1:5678``, on which to wait for a debugger first; empty where there is none.
    """

    plugin_id: str
    supervisor_pid: int | None = None
    instance: str = ""
    domain: Domain = DEFAULT_DOMAIN
    config: Mapping[str, str] = field(default_factory=dict)
    file_ref_threshold: int = DEFAULT_FILE_REF_THRESHOLD
    iceoryx2: str = ""
    heartbeat: float | None = None
    heartbeat_slot: int = 0
    concurrency: int = 1
    verbose: bool = False
    debug: str = ""
    log_mark: str = ""
    log_filter: str = ""
    artifacts: str = ""
    collect: Collecting = field(default_factory=Collecting)
    listeners: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    debugger: str = ""

    @property
    def supervisor_knows_extensions(self) -> bool:
        """Whether the other side gives credits, watches warnings and takes files by their path."""
        return self.supervisor_pid is not None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "PluginEnvironment":
        """Read the variables.

        Raises:
            EnvironmentProblem: The plugin's id is missing or no id, or another variable makes no sense.
        """
        plugin_id = environ.get(PLUGIN_ID, "")
        if not plugin_id:
            raise EnvironmentProblem(
                f"{PLUGIN_ID} is not set: a plugin is started by malbox, not by hand. Name its folder in a manifest "
                "(`malbox init FOLDER` writes one), then run `malbox run SAMPLE`"
            )
        if not is_plugin_id(plugin_id):
            raise EnvironmentProblem(f"{PLUGIN_ID}={plugin_id!r} is not an id: use letters, digits, '-' and '_'")
        if environ.get(PROTOCOL) != str(PROTOCOL_VERSION):
            return cls(plugin_id=plugin_id)
        heartbeat, heartbeat_slot = _heartbeat(environ)
        return cls(
            plugin_id=plugin_id,
            supervisor_pid=_number(environ, SUPERVISOR_PID, least=1),
            instance=environ.get(INSTANCE, ""),
            domain=_domain(environ),
            config=_config(environ),
            file_ref_threshold=_number(environ, FILE_REF_THRESHOLD, DEFAULT_FILE_REF_THRESHOLD),
            iceoryx2=environ.get(ICEORYX2, ""),
            heartbeat=heartbeat,
            heartbeat_slot=heartbeat_slot,
            concurrency=_number(environ, CONCURRENCY, 1, least=1, most=CREDIT_SLOTS),
            verbose=environ.get(VERBOSE) == "1",
            debug=environ.get(DEBUG, ""),
            log_mark=environ.get(LOG, ""),
            log_filter=_log_filter(environ),
            artifacts=environ.get(ARTIFACTS, ""),
            collect=_collecting(environ),
            listeners=_listeners(environ),
            sources=_sources(environ),
            debugger=environ.get(DEBUGGER, ""),
        )

    def variables(self) -> dict[str, str]:
        """Return the variables that `read` makes this value of; what a supervisor sets for its child."""
        variables = {PLUGIN_ID: self.plugin_id}
        if self.supervisor_pid is None:
            return variables
        variables |= {
            PROTOCOL: str(PROTOCOL_VERSION),
            SUPERVISOR_PID: str(self.supervisor_pid),
            INSTANCE: self.instance,
            CONFIG: json.dumps(dict(self.config)),
            FILE_REF_THRESHOLD: str(self.file_ref_threshold),
            DOMAIN_ROOT: self.domain.root,
            DOMAIN_PREFIX: self.domain.prefix,
        }
        if self.iceoryx2:
            variables[ICEORYX2] = self.iceoryx2
        if self.heartbeat is not None:
            variables[HEARTBEAT] = f"{self.heartbeat!r} {self.heartbeat_slot}"
        if self.concurrency != 1:
            variables[CONCURRENCY] = str(self.concurrency)
        if self.verbose:
            variables[VERBOSE] = "1"
        if self.debug:
            variables[DEBUG] = self.debug
        if self.log_mark:
            variables[LOG] = self.log_mark
        if self.log_filter:
            variables[LOG_FILTER] = self.log_filter
        if self.artifacts:
            variables[ARTIFACTS] = self.artifacts
        if self.collect != Collecting():
            variables[COLLECT] = self.collect.to_text()
        if self.listeners:
            variables[LISTENERS] = " ".join(self.listeners)
        if self.sources:
            variables[SOURCES] = " ".join(f"{source.id}:{source.plugin}:{source.slot}" for source in self.sources)
        if self.debugger:
            variables[DEBUGGER] = self.debugger
        return variables


def _number(
    environ: Mapping[str, str], key: str, default: int | None = None, *, least: int = 0, most: int | None = None
) -> int:
    text = environ.get(key, "")
    if not text and default is not None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < MAX_DIGITS else -1
    if number < least or (most is not None and number > most):
        to = "up" if most is None else f"to {most}"
        raise EnvironmentProblem(f"{key}={reprlib.repr(text)} is not a number from {least} {to}")
    return number


def _heartbeat(environ: Mapping[str, str]) -> tuple[float | None, int]:
    text = environ.get(HEARTBEAT, "")
    if not text:
        return None, 0
    found = _HEARTBEAT.fullmatch(text)
    if found is None or float(found[1]) < LEAST_HEARTBEAT or int(found[2]) >= BEAT_SLOTS:
        raise EnvironmentProblem(
            f"{HEARTBEAT}={reprlib.repr(text)} is not the seconds between two heartbeats, from {LEAST_HEARTBEAT} up, "
            f"and a slot from 0 to {BEAT_SLOTS - 1}, such as '10 0'"
        )
    return float(found[1]), int(found[2])


def _listeners(environ: Mapping[str, str]) -> tuple[str, ...]:
    listeners = tuple(environ.get(LISTENERS, "").split())
    if len(listeners) > RESULT_SLOTS or not all(map(is_plugin_id, listeners)):
        raise EnvironmentProblem(f"{LISTENERS} is not the ids of at most {RESULT_SLOTS} plugins")
    return listeners


def _sources(environ: Mapping[str, str]) -> tuple[Source, ...]:
    sources = []
    for text in environ.get(SOURCES, "").split():
        source_id, _, rest = text.partition(":")
        plugin, _, slot = rest.partition(":")
        if not (is_plugin_id(source_id) and is_plugin_id(plugin) and slot.isascii() and slot.isdigit()):
            raise EnvironmentProblem(f"{SOURCES} has {reprlib.repr(text)}, which is not as in 'yara-1:yara:0'")
        if len(slot) > 2 or int(slot) >= RESULT_SLOTS:
            raise EnvironmentProblem(f"{SOURCES} has {reprlib.repr(text)}, whose slot is above {RESULT_SLOTS - 1}")
        sources.append(Source(source_id, plugin, int(slot)))
    return tuple(sources)


def _domain(environ: Mapping[str, str]) -> Domain:
    try:
        return Domain(environ.get(DOMAIN_ROOT, ""), environ.get(DOMAIN_PREFIX, ""))
    except ValueError as error:
        raise EnvironmentProblem(f"{DOMAIN_ROOT} and {DOMAIN_PREFIX}: {error}") from error


def _config(environ: Mapping[str, str]) -> dict[str, str]:
    text = environ.get(CONFIG, "{}")
    try:
        config = json.loads(text)
    except RecursionError as error:
        raise EnvironmentProblem(f"{CONFIG} is not an object of strings") from error
    except ValueError as error:
        raise EnvironmentProblem(f"{CONFIG} is not JSON: {error}") from error
    if not isinstance(config, dict) or not all(isinstance(value, str) for value in config.values()):
        raise EnvironmentProblem(f"{CONFIG} is not an object of strings")
    return config


def _log_filter(environ: Mapping[str, str]) -> str:
    text = environ.get(LOG_FILTER, "")
    try:
        parse_log_filter(text)
    except ValueError as error:
        raise EnvironmentProblem(f"{LOG_FILTER} {error}") from error
    return text


def _collecting(environ: Mapping[str, str]) -> Collecting:
    text = environ.get(COLLECT, "")
    try:
        return Collecting.from_text(text) if text else Collecting()
    except ValueError as error:
        raise EnvironmentProblem(f"{COLLECT} is not what a supervisor sets: {error}") from error
