import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime.collecting import Collecting, Rules
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import EnvironmentProblem
from plugin_runtime.ports.domain import DEFAULT_DOMAIN, MAX_ROOT_AND_PREFIX, Domain

IDS = st.text("abcXYZ019_-", min_size=1, max_size=30)
# What a process can have in its environment: no NUL, and nothing that is not UTF-8.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
DOMAINS = st.just(DEFAULT_DOMAIN) | st.builds(
    Domain, st.text("/abc", min_size=1, max_size=40), st.text("abc_", min_size=1, max_size=20)
)
ENVIRONMENTS = (
    st.builds(
        PluginEnvironment,
        plugin_id=IDS,
        supervisor_pid=st.integers(1, 2**22),
        instance=TEXTS,
        domain=DOMAINS,
        config=st.dictionaries(st.text(), st.text(), max_size=5),
        file_ref_threshold=st.integers(0, 2**40),
        iceoryx2=st.sampled_from(["", "0.10.0"]),
        verbose=st.booleans(),
    )
    | st.builds(
        PluginEnvironment,
        plugin_id=IDS,
        supervisor_pid=st.just(7),
        heartbeat=st.floats(0.01, 1e9, exclude_max=True),
        heartbeat_slot=st.integers(0, 119),
        concurrency=st.integers(1, 64),
        verbose=st.booleans(),
        log_mark=TEXTS,
        log_filter=st.sampled_from(["", "info", "warn,a=debug"]),
        artifacts=TEXTS,
        collect=st.builds(Collecting, artifacts=st.builds(Rules, include=st.lists(TEXTS).map(tuple)), log_folder=TEXTS),
    )
    | st.builds(PluginEnvironment, plugin_id=IDS)
)


@given(ENVIRONMENTS)
def test_what_a_supervisor_sets_is_what_its_plugin_reads(environment: PluginEnvironment) -> None:
    variables = environment.variables()
    assert all("\0" not in value and value.encode() for value in variables.values() if value)
    assert PluginEnvironment.read({"PATH": "/bin", **variables}) == environment
    assert environment.supervisor_knows_extensions is (environment.supervisor_pid is not None)


FULL = PluginEnvironment(plugin_id="a", supervisor_pid=7, domain=Domain("/r", "p_")).variables()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"MALBOX_PLUGIN_ID": None}, "MALBOX_PLUGIN_ID is not set: a plugin is started by", id="no id"),
        pytest.param({"MALBOX_PLUGIN_ID": ""}, "MALBOX_PLUGIN_ID is not set", id="empty id"),
        pytest.param({"MALBOX_PLUGIN_ID": "a b"}, "MALBOX_PLUGIN_ID='a b' is not an id", id="bad id"),
        pytest.param({"MALBOX_SUPERVISOR_PID": None}, "MALBOX_SUPERVISOR_PID='' is not a number from 1", id="no pid"),
        pytest.param({"MALBOX_SUPERVISOR_PID": "0"}, "MALBOX_SUPERVISOR_PID='0' is not a number from 1", id="pid 0"),
        pytest.param({"MALBOX_SUPERVISOR_PID": "-7"}, "MALBOX_SUPERVISOR_PID='-7' is not a number", id="pid below 0"),
        pytest.param({"MALBOX_SUPERVISOR_PID": "\u0667"}, "is not a number from 1", id="pid in other digits"),
        pytest.param({"MALBOX_SUPERVISOR_PID": "9" * 5000}, "is not a number from 1", id="pid too long"),
        pytest.param({"MALBOX_FILE_REF_THRESHOLD": "1MiB"}, "MALBOX_FILE_REF_THRESHOLD='1MiB' is", id="threshold"),
        pytest.param({"MALBOX_HEARTBEAT": "10"}, "MALBOX_HEARTBEAT='10' is not the seconds", id="no slot"),
        pytest.param({"MALBOX_HEARTBEAT": "10s 1"}, "MALBOX_HEARTBEAT='10s 1' is not", id="heartbeat with a unit"),
        pytest.param(
            {"MALBOX_HEARTBEAT": "0.009 1"}, "from 0.01 up, and a slot from 0 to 119", id="heartbeat too fast"
        ),
        pytest.param({"MALBOX_HEARTBEAT": "nan 1"}, "such as '10 0'", id="heartbeat that is no number"),
        pytest.param({"MALBOX_HEARTBEAT": "10 120"}, "MALBOX_HEARTBEAT='10 120' is not", id="slot too large"),
        pytest.param({"MALBOX_HEARTBEAT": "10 -1"}, "MALBOX_HEARTBEAT='10 -1' is not", id="slot below 0"),
        pytest.param({"MALBOX_HEARTBEAT": "1" * 5000 + " 1"}, "MALBOX_HEARTBEAT=", id="heartbeat too long"),
        pytest.param({"MALBOX_CONCURRENCY": "0"}, "MALBOX_CONCURRENCY='0' is not a number from 1 to 64", id="no task"),
        pytest.param({"MALBOX_CONCURRENCY": "65"}, "MALBOX_CONCURRENCY='65' is not a number from 1", id="many tasks"),
        pytest.param({"MALBOX_LOG_FILTER": "loud"}, "MALBOX_LOG_FILTER has 'loud', which is", id="log filter"),
        pytest.param({"MALBOX_COLLECT": "{}"}, "MALBOX_COLLECT is not what a supervisor sets", id="collecting"),
        pytest.param({"MALBOX_DOMAIN_ROOT": None}, "MALBOX_DOMAIN_ROOT and MALBOX_DOMAIN_PREFIX: a", id="root"),
        pytest.param({"MALBOX_DOMAIN_ROOT": "/r" * 40}, "have 82 bytes together, at most 65", id="long root"),
        pytest.param({"MALBOX_CONFIG": "{"}, "MALBOX_CONFIG is not JSON: ", id="no json"),
        pytest.param({"MALBOX_CONFIG": "[]"}, "MALBOX_CONFIG is not an object of strings", id="a list"),
        pytest.param({"MALBOX_CONFIG": '{"a": 1}'}, "MALBOX_CONFIG is not an object of strings", id="a number"),
        pytest.param({"MALBOX_CONFIG": "[" * 100_000}, "MALBOX_CONFIG is not", id="nested too deep"),
    ],
)
def test_a_bad_variable_is_named(changed: dict[str, str | None], said: str) -> None:
    environ = {key: value for key, value in {**FULL, **changed}.items() if value is not None}
    with pytest.raises(EnvironmentProblem) as caught:
        PluginEnvironment.read(environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [None, "", "0", "2", "one"])
def test_a_daemon_that_speaks_no_extension_of_ours_is_a_foreign_one(protocol: str | None) -> None:
    environ = {**FULL, "MALBOX_CONFIG": "not even JSON"}
    del environ["MALBOX_PROTOCOL"]
    if protocol is not None:
        environ["MALBOX_PROTOCOL"] = protocol
    assert PluginEnvironment.read(environ) == PluginEnvironment(plugin_id="a")


def test_what_is_missing_has_a_default() -> None:
    environ = {"MALBOX_PLUGIN_ID": "a", "MALBOX_PROTOCOL": "1", "MALBOX_SUPERVISOR_PID": "7"}
    assert PluginEnvironment.read(environ) == PluginEnvironment(plugin_id="a", supervisor_pid=7)


def test_a_domain_is_as_long_as_iceoryx2_takes_it() -> None:
    assert Domain("/" + "r" * (MAX_ROOT_AND_PREFIX - 3), "p_").root
    with pytest.raises(ValueError, match="use a shorter folder"):
        Domain("/" + "r" * (MAX_ROOT_AND_PREFIX - 2), "p_")
    with pytest.raises(ValueError, match="a root and a prefix or neither"):
        Domain("", "p_")
    with pytest.raises(ValueError, match="66 bytes"):
        Domain("/" + "ä" * 31, "pp_")
    assert DEFAULT_DOMAIN.is_default
    assert not Domain("/r", "p").is_default
