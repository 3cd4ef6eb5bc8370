"""The files of a new plugin's folder."""

import re
from collections.abc import Mapping

__all__ = ["TEMPLATES", "class_name", "new_plugin"]

TEMPLATES = ("file", "async")

_PLUGIN_TOML = """\
[plugin]
name = "@NAME@"
version = "0.1.0"
description = "Size and digest of a file."
type = "host"

[runtime]
state = "persistent"
execution = "@EXECUTION@"
analysis_timeout = 300

[results.summary]
description = "Size and sha256 of the sample"
display_name = "Summary"

[results.report]
description = "The same for people"
display_name = "Report"
"""

_FILE_MAIN = '''\
"""@NAME@: a malbox plugin."""

import hashlib

import plugin_runtime as malbox


class @CLASS@(malbox.Plugin):
    """Says how large a sample is, and what its digest is."""

    def __init__(self) -> None:
        """Make it; what takes time belongs in `on_start`."""
        self.suspicious_above = 0

    def on_start(self, config: dict[str, str]) -> None:
        """Read the configuration, once, before the first task."""
        self.suspicious_above = int(config.get("suspicious_above", "1000000"))

    def on_task(self, ctx: malbox.Context) -> None:
        """Look at one sample."""
        data = ctx.task().sample_bytes()
        ctx.progress(0.5, "hashing")
        digest = hashlib.sha256(data).hexdigest()
        summary = {"size": len(data), "sha256": digest}
        ctx.results().push(malbox.PluginResult.json("summary", summary))
        ctx.results().push(self._report(len(data), digest))

    def _report(self, size: int, digest: str) -> malbox.PluginResult:
        verdict = malbox.Classification.Unknown
        if size > self.suspicious_above:
            verdict = malbox.Classification.Suspicious
        return (
            malbox.ReportBuilder("@NAME@", "0.1.0")
            .verdict(verdict)
            .indicator(malbox.Indicator("sha256", digest))
            .summary(f"a file of {size} bytes")
            .build()
        )


if __name__ == "__main__":
    malbox.run(@CLASS@(), name="@NAME@", version="0.1.0")
'''

_ASYNC_MAIN = '''\
"""@NAME@: a malbox plugin that waits for others, with several tasks at once."""

import asyncio
import hashlib

import plugin_runtime as malbox


class @CLASS@(malbox.Plugin):
    """Says how large a sample is and what its digest is, and asks about it."""

    def __init__(self) -> None:
        """Make it; what takes time belongs in `on_start`."""
        self.suspicious_above = 0

    async def on_start(self, config: dict[str, str]) -> None:
        """Read the configuration, once, before the first task; open clients here."""
        self.suspicious_above = int(config.get("suspicious_above", "1000000"))

    async def on_task(self, ctx: malbox.Context) -> None:
        """Look at one sample. Where it awaits, others run, or it is cancelled."""
        data = await asyncio.to_thread(ctx.task().sample_bytes)
        ctx.progress(0.5, "asking")
        digest = hashlib.sha256(data).hexdigest()
        verdict = malbox.Classification.Unknown
        if await self._ask(len(data)):
            verdict = malbox.Classification.Suspicious
        summary = {"size": len(data), "sha256": digest}
        ctx.results().push(malbox.PluginResult.json("summary", summary))
        ctx.results().push(
            malbox.ReportBuilder("@NAME@", "0.1.0")
            .verdict(verdict)
            .indicator(malbox.Indicator("sha256", digest))
            .summary(f"a file of {len(data)} bytes")
            .build()
        )

    async def _ask(self, size: int) -> bool:
        """Stand in for a question to a service."""
        await asyncio.sleep(0)
        return size > self.suspicious_above


if __name__ == "__main__":
    malbox.run(@CLASS@(), name="@NAME@", version="0.1.0")
'''

_TEST = '''\
"""Tests of @NAME@. The fixtures come with malbox; nothing has to be running."""

import hashlib

import plugin_runtime as malbox
from plugin_runtime.testing import MalboxPlugin, RunPlugin

from main import @CLASS@


def test_it_says_what_a_file_is(run_plugin: RunPlugin) -> None:
    """One task, from the start of the plugin to its end."""
    done = run_plugin(@CLASS@(), b"a sample")

    assert done.outcome == "completed", done.error
    digest = hashlib.sha256(b"a sample").hexdigest()
    assert done.result("summary").json() == {"size": 8, "sha256": digest}
    assert done.progress[0].fraction == 0.5


def test_it_is_configured(malbox_plugin: MalboxPlugin) -> None:
    """Several tasks of one plugin, with the configuration of a manifest."""
    plugin = malbox_plugin(@CLASS@(), config={"suspicious_above": "7"})

    verdicts = []
    for sample in (b"small", b"too large"):
        report = plugin.run(sample).report
        assert report is not None
        verdicts.append(report.classification)

    expected = [malbox.Classification.Unknown, malbox.Classification.Suspicious]
    assert verdicts == expected
'''

_README = """\
# @NAME@

A [malbox](https://pypi.org/project/malbox/) plugin.

| file | what it is |
| --- | --- |
| `main.py` | the plugin |
| `plugin.toml` | what it is called, how its tasks run, which results it has |
| `test_main.py` | its tests, which need no supervisor |

```sh
pytest                              # in this folder: the tests
malbox run --plugin . main.py       # gives it a file to look at
```

To have it among others, let `malbox init` write a manifest in the folder above. A smoke test there, which
`malbox smoke` runs, looks like this:

```toml
[[plugins.@NAME@.smoke]]
text = "a sample"
results = ["summary", "report"]
json = { "summary:$.size" = 8 }
```
"""


def class_name(name: str) -> str:
    """Return the name of a class for a plugin's name: ``PdfTextPlugin`` for ``pdf-text``."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    camel = "".join(word[0].upper() + word[1:] for word in words)
    # With this at its end it is neither a keyword nor a name that Python has.
    return f"{camel}Plugin" if camel[:1].isalpha() else f"Plugin{camel}Plugin"


def new_plugin(name: str, template: str) -> Mapping[str, str]:
    """Return the text of each file of a new plugin.

    Args:
        name: Its name, which is one that a plugin may have.
        template: One of `TEMPLATES`.
    """
    is_async = template == "async"
    files = {
        "plugin.toml": _PLUGIN_TOML,
        "main.py": _ASYNC_MAIN if is_async else _FILE_MAIN,
        "test_main.py": _TEST,
        "README.md": _README,
    }
    values = {"@NAME@": name, "@CLASS@": class_name(name), "@EXECUTION@": "parallel" if is_async else "sequential"}
    return {file: re.sub("@[A-Z]+@", lambda found: values[found[0]], text) for file, text in files.items()}
