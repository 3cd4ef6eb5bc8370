"""What a manifest and a plugin.toml say of logs and of what is collected."""

import pytest
from manifest_disk import errors_of, spec_of

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.plugin_file import parse_plugin_file
from plugin_runtime.collecting import Collecting, Rules


def test_a_plugin_table_says_what_of_its_log_is_kept() -> None:
    assert spec_of('log_filter = "warn,a=debug"').log_filter == "warn,a=debug"
    assert spec_of("").log_filter == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('log_filter = "loud"', "has 'loud', which is neither a level nor name=level"),
        ("log_filter = 1", 'is the integer 1, expected a filter such as "info"'),
    ],
)
def test_a_filter_that_is_none_is_an_error(body: str, message: str) -> None:
    [error] = errors_of(body)
    assert message in str(error)


def test_plugin_toml_says_what_is_collected() -> None:
    findings = Findings()
    sections = {
        "artifacts": {"include": ["*.bin"], "exclude": ["x"], "max_file_size": 5},
        "external_logs": {"enabled": True},
    }
    runtime = {"log_filter": "warn", "paths": {"external_log_dir": "/var/log/x"}, "auto_collect": sections}
    about = {"name": "a", "version": "1.0.0", "type": "host"}
    read = parse_plugin_file({"plugin": about, "runtime": runtime}, findings)
    assert findings.found == []
    assert read.log_filter == "warn"
    assert read.collect == Collecting(
        artifacts=Rules(include=("*.bin",), exclude=("x",), max_file_size=5), logs=Rules(), log_folder="/var/log/x"
    )
