import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from plugin_runtime.errors import ResultRefused
from plugin_runtime.report import (
    ArtifactRef,
    Block,
    Classification,
    Column,
    Confidence,
    GraphEdge,
    GraphNode,
    Indicator,
    KvPair,
    ReportBuilder,
    SectionBuilder,
    TimelineEvent,
    TreeNode,
    Ttp,
    worst,
)

NAN = float("nan")


def builder() -> ReportBuilder:
    return ReportBuilder("yara", "1.0.0")


def built(report: ReportBuilder) -> str:
    return report.build().data.decode()


def deep_tree(depth: int) -> TreeNode:
    node = TreeNode("leaf")
    for _ in range(depth):
        node = TreeNode("node", [node])
    return node


def test_a_report_with_everything_is_this_text() -> None:
    report = (
        builder()
        .raw({"native": 1})
        .section("overview", "Overview", [Block.heading(2, "Rules"), Block.markdown("1 match"), Block.divider()])
        .summary("Matched 1 rule")
        .artifact(ArtifactRef("dump", "memory", "All of it"))
        .ttp(Ttp("T1055", "Process Injection", "imports"))
        .indicator(Indicator("sha256", "abc", "sample", "2024-01-01"))
        .labels(["trojan"])
        .verdict(Classification.Malicious, 87, Confidence.High)
        .display_name("YARA")
    )
    assert built(report) == (
        '{"schema_version":1,'
        '"plugin":{"id":"yara","version":"1.0.0","display_name":"YARA"},'
        '"verdict":{"classification":"malicious","score":87,"confidence":"high","labels":["trojan"]},'
        '"indicators":[{"kind":"sha256","value":"abc","context":"sample","first_seen":"2024-01-01"}],'
        '"ttps":[{"id":"T1055","name":"Process Injection","evidence":"imports"}],'
        '"artifacts":[{"result_name":"dump","kind":"memory","description":"All of it"}],'
        '"summary":"Matched 1 rule",'
        '"sections":[{"id":"overview","title":"Overview","blocks":['
        '{"type":"heading","level":2,"text":"Rules"},{"type":"markdown","text":"1 match"},{"type":"divider"}]}],'
        '"raw":{"native":1}}'
    )


def test_a_report_with_nothing_has_only_its_version_and_its_plugin() -> None:
    assert built(builder()) == '{"schema_version":1,"plugin":{"id":"yara","version":"1.0.0"}}'


@pytest.mark.parametrize(
    ("add", "entries"),
    [
        (lambda r: r.verdict(Classification.Clean), '"verdict":{"classification":"clean"}'),
        (lambda r: r.verdict(Classification.Unknown, 0), '"verdict":{"classification":"unknown","score":0}'),
        (
            lambda r: r.verdict(Classification.Suspicious, None, Confidence.Low),
            '"verdict":{"classification":"suspicious","confidence":"low"}',
        ),
        (lambda r: r.labels(["a"]), '"verdict":{"classification":"unknown","labels":["a"]}'),
        (
            lambda r: r.labels(["a"]).verdict(Classification.Clean).labels(["b"]),
            '"verdict":{"classification":"clean","labels":["a","b"]}',
        ),
        (
            lambda r: r.verdict(Classification.Malicious, 100).verdict(Classification.Clean),
            '"verdict":{"classification":"clean"}',
        ),
        (lambda r: r.indicator(Indicator("md5", "d")), '"indicators":[{"kind":"md5","value":"d"}]'),
        (lambda r: r.ttp(Ttp("T1", "n")), '"ttps":[{"id":"T1","name":"n"}]'),
        (lambda r: r.artifact(ArtifactRef("n", "k")), '"artifacts":[{"result_name":"n","kind":"k"}]'),
        (lambda r: r.section("s", "S", []), '"sections":[{"id":"s","title":"S"}]'),
        (lambda r: r.summary("größer"), '"summary":"größer"'),
        (lambda r: r.raw(0), '"raw":0'),
    ],
    ids=[
        "verdict",
        "score of zero",
        "confidence alone",
        "labels alone",
        "labels before and after",
        "last verdict counts",
        "indicator",
        "ttp",
        "artifact",
        "section without blocks",
        "utf-8",
        "raw zero",
    ],
)
def test_what_is_none_or_empty_is_left_out(add: Callable[[ReportBuilder], ReportBuilder], entries: str) -> None:
    assert built(add(builder())) == '{"schema_version":1,"plugin":{"id":"yara","version":"1.0.0"},' + entries + "}"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (Block.markdown("*a*"), '{"type":"markdown","text":"*a*"}'),
        (Block.callout("warn", "a"), '{"type":"callout","level":"warn","text":"a"}'),
        (Block.heading(6, "a"), '{"type":"heading","level":6,"text":"a"}'),
        (Block.divider(), '{"type":"divider"}'),
        (Block.kv([]), '{"type":"kv","pairs":[]}'),
        (
            Block.kv([KvPair("a", "b"), KvPair("c", "d", mono=True)]),
            '{"type":"kv","pairs":[{"key":"a","value":"b"},{"key":"c","value":"d","mono":true}]}',
        ),
        (Block.table([], []), '{"type":"table","columns":[],"rows":[],"sortable":false,"searchable":false}'),
        (
            Block.table([Column("n", "N"), Column("s", "S", "number")], [{"s": 1, "n": None}], True, True),
            (
                '{"type":"table","columns":[{"key":"n","label":"N","type":"string"},{"key":"s","label":"S",'
                '"type":"number"}],"rows":[{"s":1,"n":null}],"sortable":true,"searchable":true}'
            ),
        ),
        (Block.code("c", "x;"), '{"type":"code","language":"c","text":"x;"}'),
        (Block.json(None), '{"type":"json","data":null,"collapsed":false}'),
        (Block.json({"a": (1,)}, True), '{"type":"json","data":{"a":[1]},"collapsed":true}'),
        (Block.hex("AA==", 16), '{"type":"hex","bytes_b64":"AA==","offset":16}'),
        (Block.image("shot"), '{"type":"image","artifact":"shot"}'),
        (Block.image("shot", "c"), '{"type":"image","artifact":"shot","caption":"c"}'),
        (Block.download("d", "l"), '{"type":"download","artifact":"d","label":"l"}'),
        (Block.iocs([Indicator("k", "v")]), '{"type":"iocs","items":[{"kind":"k","value":"v"}]}'),
        (Block.ttps([Ttp("i", "n")]), '{"type":"ttps","items":[{"id":"i","name":"n"}]}'),
        (
            Block.tree([TreeNode("a", [TreeNode("b", [], {"m": 1})]), TreeNode("c", meta=0)]),
            '{"type":"tree","nodes":[{"label":"a","children":[{"label":"b","meta":{"m":1}}]},{"label":"c","meta":0}]}',
        ),
        (
            Block.timeline([TimelineEvent("t", "l"), TimelineEvent("t", "l", "high", [1])]),
            '{"type":"timeline","events":[{"ts":"t","label":"l"},{"ts":"t","label":"l","severity":"high","meta":[1]}]}',
        ),
        (
            Block.graph(
                [GraphNode("a", "A"), GraphNode("b", "B", "m")], [GraphEdge("a", "b"), GraphEdge("b", "a", "")]
            ),
            (
                '{"type":"graph","nodes":[{"id":"a","label":"A"},{"id":"b","label":"B","meta":"m"}],'
                '"edges":[{"from":"a","to":"b"},{"from":"b","to":"a","label":""}]}'
            ),
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_block_is_this_text(block: Block, text: str) -> None:
    assert built(builder().section("s", "S", [block])).endswith(f'"blocks":[{text}]}}]}}')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Block.callout("warning", "a"), "callout level is one of info, success, warn, error, not 'warning'"),
        (lambda: Block.heading(0, "a"), "heading level takes a whole number from 1 to 6, not 0"),
        (lambda: Block.heading(7, "a"), "from 1 to 6, not 7"),
        (lambda: Block.hex("", -1), "hex offset takes"),
        (lambda: Block.markdown("\udc80"), "markdown text takes text that UTF-8 can carry"),
        (lambda: Block.json(NAN), "json data takes what JSON can hold: Out of range"),
        (lambda: Block.json({"a": [float("inf")]}), "json data takes"),
        (lambda: Block.json("\udfff"), "json data takes"),
        (lambda: Block.table([], [{"a": NAN}]), "table rows takes"),
        (lambda: Block.tree([deep_tree(5000)]), "nested too deep"),
        (lambda: TreeNode("a", meta=NAN), "TreeNode meta takes"),
        (lambda: TimelineEvent("a", "b", meta=NAN), "TimelineEvent meta takes"),
        (lambda: GraphNode("a", "b", meta=NAN), "GraphNode meta takes"),
        (lambda: builder().verdict(Classification.Clean, 101), "verdict score takes a whole number from 0 to 100"),
        (lambda: builder().verdict(Classification.Clean, -1), "verdict score takes a whole number from 0 to 100"),
        (lambda: builder().raw(NAN), "raw takes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_makes_no_sense_raises_where_it_is_put_in(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        make()
    assert not isinstance(raised.value, ResultRefused)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: Block.heading(x, "a"), "heading level takes a whole number, not"),
        (lambda x: Block.markdown(x), "markdown text takes text, not"),
        (lambda x: Block.json({"a": x}), "json data takes what JSON can hold"),
        (lambda x: Block.kv([KvPair("a", "b"), x]), "kv pairs takes a list of KvPair; item 1 is"),
        (lambda x: Block.kv(x), "kv pairs takes a list of KvPair, not"),
        (lambda x: Block.table([], [x]), "table rows takes a list of dict; item 0 is"),
        (lambda x: Block.table([], [], x), "table sortable takes True or False, not"),
        (lambda x: Indicator("a", x), "Indicator value takes text, not"),
        (lambda x: Indicator("a", "b", x), "Indicator context takes text, not"),
        (lambda x: Column("a", "b", x), "Column type takes text, not"),
        (lambda x: KvPair("a", "b", x), "KvPair mono takes True or False, not"),
        (lambda x: TreeNode("a", [x]), "TreeNode children takes a list of TreeNode; item 0"),
        (lambda x: builder().verdict(x), "verdict takes a Classification, not"),
        (lambda x: builder().verdict(Classification.Clean, x), "verdict score takes a whole number, not"),
        (lambda x: builder().verdict(Classification.Clean, 1, x), "verdict takes a Confidence or None, not"),
        (lambda x: builder().labels([x]), "labels takes a list of str; item 0"),
        (lambda x: builder().indicator(x), "indicator takes a list of Indicator; item 0"),
        (lambda x: builder().section("a", "b", [x]), "section blocks takes a list of Block; item 0"),
        (lambda x: SectionBuilder().block(x), "block takes a list of Block; item 0"),
        (lambda x: ReportBuilder(x, "1"), "ReportBuilder plugin_id takes text, not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_of_another_type_raises_where_it_is_put_in(make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(object())


@pytest.mark.parametrize(
    ("value", "message"), [(True, "not bool"), (87.0, "not float")], ids=["true is no score", "no fractions"]
)
def test_a_score_is_a_whole_number(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        builder().verdict(Classification.Clean, value)


def test_text_is_not_taken_for_a_list() -> None:
    with pytest.raises(TypeError, match="labels takes a list of str, not str"):
        builder().labels("trojan")


def test_the_worst_classification_wins_in_any_order() -> None:
    by_severity = [
        Classification.Clean,
        Classification.Unknown,
        Classification.Suspicious,
        Classification.Malicious,
    ]
    for size in range(1, 5):
        for some in itertools.permutations(by_severity, size):
            assert worst(some) is by_severity[max(by_severity.index(one) for one in some)]


def test_nobody_having_looked_is_unknown() -> None:
    assert worst([]) is Classification.Unknown


def test_the_result_is_json_named_report() -> None:
    result = builder().build()
    assert (result.name, result.kind) == ("report", "json")


def test_a_builder_can_be_used_on_and_earlier_results_stay() -> None:
    report = builder()
    before = report.build()
    after = report.summary("later").build()
    assert "summary" not in json.loads(before.data)
    assert json.loads(after.data)["summary"] == "later"


def test_what_was_put_in_does_not_follow_later_changes() -> None:
    data = {"a": 1}
    blocks = [Block.json(data), Block.table([], [data])]
    report = builder().raw(data).section("s", "S", blocks)
    data["a"] = 2
    blocks.clear()
    read = json.loads(report.build().data)
    assert read["raw"] == {"a": 1}
    assert read["sections"][0]["blocks"][0]["data"] == {"a": 1}
    assert read["sections"][0]["blocks"][1]["rows"] == [{"a": 1}]


def test_a_section_builder_gives_its_blocks_in_order() -> None:
    section = SectionBuilder().block(Block.divider()).block(Block.markdown("a"))
    assert [block.type for block in section.get_blocks()] == ["divider", "markdown"]
    section.get_blocks().clear()
    assert len(section.get_blocks()) == 2


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        (Indicator("k", "v"), {"kind": "k", "value": "v", "context": None, "first_seen": None}),
        (Column("k", "l", "number"), {"key": "k", "label": "l", "col_type": "number"}),
        (Column("k", "l"), {"col_type": "string"}),
        (TreeNode("l"), {"label": "l", "children": (), "meta": None}),
        (GraphEdge("a", "b"), {"from_node": "a", "to_node": "b", "label": None}),
        (TimelineEvent("t", "l"), {"ts": "t", "label": "l", "severity": None, "meta": None}),
    ],
    ids=["indicator", "column", "column of text", "tree node", "edge", "event"],
)
def test_arguments_are_read_only_attributes(value: Any, attributes: dict[str, Any]) -> None:
    for name, expected in attributes.items():
        assert getattr(value, name) == expected
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "x")
