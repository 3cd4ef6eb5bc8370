"""Waits for a debugger to attach, by `debugpy`: what a plugin does for `malbox up --debug`."""

import json
import os
import sys

from plugin_runtime.errors import EnvironmentProblem, MalboxError

__all__ = ["wait_for_debugger"]


def wait_for_debugger(address: str, plugin_id: str) -> None:
    """Wait until a debugger is attached; where, and how, is printed.

    Args:
        address: The address to listen on, as ``127.0.0.1:5678``; with port 0 on one that is free.
        plugin_id: Whose process this is.

    Raises:
        EnvironmentProblem: That is no address.
        MalboxError: debugpy is not installed, or cannot listen there.
    """
    host, _, port_text = address.rpartition(":")
    if not host or not port_text.isascii() or not port_text.isdigit():
        raise EnvironmentProblem(f"MALBOX_DEBUGGER={address!r} is no address such as 127.0.0.1:5678")
    # Otherwise it warns of the modules that come frozen with Python, in which nobody sets a breakpoint.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        import debugpy
    except ImportError as error:
        raise MalboxError(
            f"`malbox up --debug` needs debugpy, which is not installed: `{sys.executable} -m pip install debugpy`. "
            "`malbox retry TASK --debug` runs one task under pdb without it"
        ) from error
    try:
        host, port = debugpy.listen((host, int(port_text)))
    except (OSError, RuntimeError, OverflowError) as error:
        raise MalboxError(f"cannot wait for a debugger on {address}: {error}") from error
    attach = {"name": plugin_id, "type": "debugpy", "request": "attach", "connect": {"host": host, "port": port}}
    _say(f"waiting for a debugger on {host}:{port}; for the launch.json of VS Code:")
    _say(json.dumps(attach))
    debugpy.wait_for_client()
    _say("a debugger is attached")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
