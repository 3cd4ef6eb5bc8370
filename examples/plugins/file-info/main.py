"""The plugin file-info: what a file is, without running it."""

import os
import sys
from pathlib import Path

import plugin_runtime as malbox

try:
    from file_info import CONFIG_KEYS, FileFacts, Settings, analyse
except ModuleNotFoundError as missing:
    if missing.name not in ("ppdeep", "puremagic"):
        raise
    sys.exit(f"file-info needs the library {missing.name}: pip install 'malbox[analysis]'")

NAME = "file-info"
VERSION = "0.1.0"

HIGH_ENTROPY = 7.2  # bits per byte; machine code and text stay below, compressed and encrypted data does not
BARS = "▁▂▃▄▅▆▇█"
BARS_A_LINE = 64


class FileInfo(malbox.Plugin):
    """Pushes `file-info`, with everything that was found, and a report of it."""

    def __init__(self) -> None:
        super().__init__()
        self._config: dict[str, str] = {}

    def on_start(self, config: dict[str, str]) -> None:
        """Check the plugin's configuration."""
        for key in sorted(config.keys() - CONFIG_KEYS):
            malbox.warn(f"config {key} is not known to file-info; it knows {', '.join(sorted(CONFIG_KEYS))}")
        Settings.from_config(config)
        self._config = dict(config)

    def on_task(self, ctx: malbox.Context) -> None:
        """Analyse the sample; a task's configuration goes before the plugin's."""
        task = ctx.task()
        settings = Settings.from_config(self._config | task.config)
        percent = -1

        def watch(fraction: float) -> None:
            nonlocal percent
            ctx.raise_if_cancelled()
            if int(fraction * 95) > percent:  # what is left is for the fuzzy hash and the report
                percent = int(fraction * 95)
                ctx.progress(percent / 100, "reading")

        found = analyse(task.sample_path, settings, watch)
        ctx.raise_if_cancelled()
        ctx.results().push(malbox.PluginResult.json("file-info", found.as_json_object()))
        ctx.results().push(report(task.sample_path, found))
        ctx.progress(1.0, "done")


def report(path: Path, found: FileFacts) -> malbox.PluginResult:
    """Return the report. Its verdict is unknown: how a file looks does not say what it does."""
    name = os.fsencode(path.name).decode(errors="backslashreplace")
    hashes = [("md5", found.md5), ("sha1", found.sha1), ("sha256", found.sha256)]
    if found.fuzzy_hash is not None:
        hashes.append(("ssdeep", found.fuzzy_hash))

    overview = [
        malbox.KvPair("Name", name),
        malbox.KvPair("Size", f"{found.size:,} bytes"),
        malbox.KvPair("Type", found.type.description),
        malbox.KvPair("Media type", found.type.mime or "none"),
        *(malbox.KvPair(kind, value, mono=True) for kind, value in hashes),
        malbox.KvPair("Strings, ASCII", f"{found.strings_ascii:,} of {found.min_string} characters or more"),
        malbox.KvPair("Strings, UTF-16LE", f"{found.strings_utf16le:,} of {found.min_string} characters or more"),
    ]
    blocks = [malbox.Block.kv(overview), *(malbox.Block.callout("info", text) for text in found.left_out)]

    builder = (
        malbox.ReportBuilder(NAME, VERSION)
        .display_name("File information")
        .summary(f"{found.type.description}, {found.size:,} bytes, entropy {found.entropy:.2f} bits per byte")
        .verdict(malbox.Classification.Unknown)
        .section("overview", "Overview", blocks)
        .section("entropy", "Entropy", entropy_blocks(found))
    )
    for kind, value in hashes:
        builder.indicator(malbox.Indicator(kind, value, "the sample"))
    return builder.build()


def entropy_blocks(found: FileFacts) -> list[malbox.Block]:
    """Return what the report shows of the entropy."""
    values = found.entropy_blocks
    if not values:
        return [malbox.Block.markdown("The file is empty." if found.size == 0 else "Nothing was measured.")]
    pairs = [malbox.KvPair("All", f"{found.entropy:.4f} bits per byte")]
    for key, value in (("Highest", max(values)), ("Lowest", min(values))):
        offset = values.index(value) * found.entropy_block_size
        pairs.append(malbox.KvPair(key, f"{value:.4f} in the block at offset {offset:#x}"))
    pairs.append(malbox.KvPair("Blocks", f"{len(values)} of {found.entropy_block_size:,} bytes"))
    bars = "".join(BARS[min(len(BARS) - 1, int(value))] for value in values)
    lines = [bars[start : start + BARS_A_LINE] for start in range(0, len(bars), BARS_A_LINE)]
    blocks = [malbox.Block.kv(pairs), malbox.Block.code("text", "\n".join(lines))]
    high = sum(value > HIGH_ENTROPY for value in values)
    if high:
        share = f"{high} of {len(values)} blocks are above {HIGH_ENTROPY} bits per byte"
        blocks.append(malbox.Block.callout("info", f"{share}, as compressed or encrypted data is."))
    return blocks


if __name__ == "__main__":
    malbox.run(FileInfo(), name=NAME, version=VERSION)
