"""The plugin yara: look for known patterns."""

import sys
from pathlib import Path

import plugin_runtime as malbox
from plugin_runtime.report import worst

try:
    from yara_rules import compile_rules
    from yara_scan import CONFIG_KEYS, RuleMatch, Scan, Settings, scan
except ModuleNotFoundError as missing:
    if missing.name != "yara_x":
        raise
    sys.exit(f"yara needs the library {missing.name}: pip install 'malbox[analysis]'")

NAME = "yara"
VERSION = "0.1.0"

# A rule that says nothing of its severity was still written to find something.
SEVERITIES = {
    "info": malbox.Classification.Unknown,
    "suspicious": malbox.Classification.Suspicious,
    "malicious": malbox.Classification.Malicious,
}
STRINGS_IN_REPORT = 100


class Yara(malbox.Plugin):
    """Pushes `matches`, with every rule that matched, and a report with the verdict of the worst of them."""

    def __init__(self) -> None:
        super().__init__()
        self._config: dict[str, str] = {}

    def on_start(self, config: dict[str, str]) -> None:
        """Check the configuration and compile the rules, once."""
        for key in sorted(config.keys() - CONFIG_KEYS):
            malbox.warn(f"config {key} is not known to yara; it knows {', '.join(sorted(CONFIG_KEYS))}")
        Settings.from_config(config)
        self._rules = compile_rules(Path(config["rules"]).absolute() if config.get("rules") else None)
        self._config = dict(config)
        malbox.debug(f"{sum(1 for _ in self._rules)} rules compiled")

    def on_task(self, ctx: malbox.Context) -> None:
        """Scan the sample; a task's configuration goes before the plugin's."""
        task = ctx.task()
        settings = Settings.from_config(self._config | task.config)
        ctx.progress(0.1, "scanning")
        found = scan(self._rules, task.sample_path, settings)
        ctx.raise_if_cancelled()
        ctx.results().push(malbox.PluginResult.json("matches", found.as_json_object()))
        ctx.results().push(report(found))
        ctx.progress(1.0, "done")


def classification(match: RuleMatch) -> malbox.Classification:
    """Return what a rule that matched says of the sample."""
    return SEVERITIES.get(str(match.meta.get("severity")), malbox.Classification.Suspicious)


def score(match: RuleMatch) -> int | None:
    """Return a rule's score, or None if it has no usable one."""
    value = match.meta.get("score")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100 else None


def report(found: Scan) -> malbox.PluginResult:
    """Return the report. Where no rule matched its verdict is unknown: that is not the same as clean."""
    scores = [value for match in found.matches if (value := score(match)) is not None]
    names = ", ".join(match.rule for match in found.matches)
    builder = (
        malbox.ReportBuilder(NAME, VERSION)
        .display_name("YARA")
        .summary(f"{len(found.matches)} rules matched: {names}" if found.matches else "No rule matched")
        .verdict(worst(map(classification, found.matches)), max(scores, default=None))
        .labels(sorted({tag for match in found.matches for tag in match.tags}))
        .artifact(malbox.ArtifactRef("matches", "json", "Every match with its strings"))
    )
    techniques: dict[str, list[str]] = {}
    for match in found.matches:
        builder.indicator(malbox.Indicator("yara_rule", match.rule, str(match.meta.get("description") or "") or None))
        if isinstance(attack := match.meta.get("attack"), str):
            techniques.setdefault(attack, []).append(match.rule)
    for attack, rules in techniques.items():
        identifier, _, name = attack.partition(" ")
        builder.ttp(malbox.Ttp(identifier, name or identifier, f"rule {', '.join(rules)}"))

    blocks = [rules_table(found.matches), strings_table(found.matches)] if found.matches else []
    if found.scanned < found.size:
        text = f"Only the first {found.scanned:,} of {found.size:,} bytes were scanned (max_size)."
        blocks.append(malbox.Block.callout("warn", text))
    return builder.section("matches", "Matches", blocks or [malbox.Block.markdown("No rule matched.")]).build()


def rules_table(matches: list[RuleMatch]) -> malbox.Block:
    """Return the table of the rules that matched."""
    columns = [
        malbox.Column("rule", "Rule"),
        malbox.Column("severity", "Severity"),
        malbox.Column("score", "Score", "number"),
        malbox.Column("description", "Description"),
        malbox.Column("namespace", "File"),
    ]
    rows = [
        {
            "rule": match.rule,
            "severity": match.meta.get("severity"),
            "score": score(match),
            "description": match.meta.get("description"),
            "namespace": match.namespace,
        }
        for match in matches
    ]
    return malbox.Block.table(columns, rows, sortable=True)


def strings_table(matches: list[RuleMatch]) -> malbox.Block:
    """Return the table of where the rules' strings are, the first hundred of them."""
    columns = [
        malbox.Column("rule", "Rule"),
        malbox.Column("string", "String"),
        malbox.Column("offset", "Offset", "number"),
        malbox.Column("length", "Length", "number"),
        malbox.Column("data", "Data"),
    ]
    rows = [
        {
            "rule": match.rule,
            "string": string.identifier,
            "offset": string.offset,
            "length": string.length,
            "data": string.data,
        }
        for match in matches
        for string in match.strings
    ]
    return malbox.Block.table(columns, rows[:STRINGS_IN_REPORT], sortable=True, searchable=True)


if __name__ == "__main__":
    malbox.run(Yara(), name=NAME, version=VERSION)
