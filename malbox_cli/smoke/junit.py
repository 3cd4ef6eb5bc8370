"""The outcome of smoke tests as JUnit's XML, as CI systems read it."""

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from malbox_cli.smoke.judge import Judgement

__all__ = ["junit_xml"]

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for, escaped or not."""


def junit_xml(judgements: Sequence[Judgement]) -> bytes:
    """Return the XML: a suite for each plugin, a case for each test. Whatever the texts hold, it is well-formed."""
    top = ElementTree.Element("testsuites", {"name": "malbox smoke", **_counts(judgements)})
    for plugin, group in groupby(judgements, key=lambda each: each.test.plugin):
        cases = list(group)
        suite = ElementTree.SubElement(top, "testsuite", {"name": _xml(plugin), **_counts(cases)})
        for each in cases:
            attributes = {"classname": _xml(plugin), "name": _xml(each.test.name), "time": f"{each.seconds:.3f}"}
            case = ElementTree.SubElement(suite, "testcase", attributes)
            if each.outcome == "not run":
                ElementTree.SubElement(case, "skipped", message=_xml(each.failures[0]))
            elif not each.passed:
                first_line = each.failures[0].partition("\n")[0]
                failure = ElementTree.SubElement(case, "failure", message=_xml(first_line), type="smoke")
                failure.text = _xml("\n".join(each.failures))
    ElementTree.indent(top)
    text: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(judgements: Sequence[Judgement]) -> dict[str, str]:
    skipped = sum(each.outcome == "not run" for each in judgements)
    failed = sum(not each.passed for each in judgements) - skipped
    return {
        "tests": str(len(judgements)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{sum(each.seconds for each in judgements):.3f}",
    }


def _xml(text: str) -> str:
    """Return a text without what XML cannot hold, which is written as Python would."""
    return _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], text)
