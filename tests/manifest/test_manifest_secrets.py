"""What looks like a secret is hidden, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.manifest.secrets import hide, hide_in_argv

SECRET_NAMES = """
TOKEN GITHUB_TOKEN GHTOKEN token accessToken x-auth-token API_TOKENS
SECRET CLIENT_SECRET clientSecret secrets AWS_SECRET_ACCESS_KEY
PASSWORD DB_PASSWORD PGPASSWORD dbPassword passwd MYSQL_PASSWD PASSPHRASE GPG_PASSPHRASE DB_PASS MYSQL_PWD REDIS_PW
API_KEY APIKEY VT_APIKEY apiKey api-key api.key API_KEYS PRIVATE_KEY SSH_PRIVATE_KEY ACCESS_KEY AWS_ACCESS_KEY_ID
SIGNING_KEY ENCRYPTION_KEY MASTER_KEY
CREDENTIAL CREDENTIALS GOOGLE_APPLICATION_CREDENTIALS AWS_CREDS AUTH BASIC_AUTH AUTHORIZATION Authorization
COOKIE SESSION_COOKIE cookies JWT BEARER
"""

OTHER_NAMES = """
PATH HOME PWD OLDPWD RULES KEY KEYBOARD MONKEY MONKEY_ISLAND KEYMAP SORT_KEY PUBLIC_KEY API_URL API ACCESS_LOG
AUTHOR AUTHORS XAUTHORITY AUTHENTIC TOKENIZER TOKENIZERS_PARALLELISM COMPASS PASSENGER BYPASS SURPASSES SECRETARY
CREDIT COOKIECUTTER PRIVATE_DIR LICENSE DONKEY_API key_access Q _ 9 é
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_a_name_says_that_it_is_a_secret(name: str) -> None:
    assert hide(name, "hunter2") == "***"
    assert hide(name, "") == ""


@pytest.mark.parametrize("name", [*OTHER_NAMES.split(), ""])
def test_another_name_hides_nothing(name: str) -> None:
    assert hide(name, "hunter2") == "hunter2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://user:hunter2@db:5432/malware", "postgres://user:***@db:5432/malware"),
        ("redis://:hunter2@cache", "redis://:***@cache"),
        ("https://u:hun/ter@2@host/x?y=1", "https://u:***@host/x?y=1"),
        ("amqp://a:hunter2@h1,amqp://b:hunter2@h2/v", "amqp://a:***@h1,amqp://b:***@h2/v"),
        ("see http://a:hunter2@b and c@d", "see http://a:***@b and c@d"),
        ("http://host:8080/path@2", "http://host:8080/path@2"),
        ("https://user@host/", "https://user@host/"),
        ("https://host/a:b", "https://host/a:b"),
        ("a:b@c", "a:b@c"),
        ("git@github.com:a/b", "git@github.com:a/b"),
        ("x\n-----BEGIN RSA PRIVATE KEY-----\nhunter2\n", "***"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        ('{"api_key": "hunter2", "depth": "3"}', '{"api_key": "***", "depth": "3"}'),
        ('{"a": {"token": "hunter2"}, "secrets": [1]}', '{"a": {"token": "***"}, "secrets": "***"}'),
        ('{"url": "ftp://a:hunter2@b", "n": 1}', '{"url": "ftp://a:***@b", "n": 1}'),
        ("{broken", "{broken"),
        ("[" * 9, "[" * 9),
    ],
)
def test_a_value_is_shown_without_the_secret_in_it(value: str, shown: str) -> None:
    assert hide("VALUE", value) == shown


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["/bin/x", "-v", "a=b"], ("/bin/x", "-v", "a=b")),
        (["x", "--token=hunter2", "--depth=3"], ("x", "--token=***", "--depth=3")),
        (["x", "--api-key", "hunter2", "rest"], ("x", "--api-key", "***", "rest")),
        (["x", "--token", "--verbose"], ("x", "--token", "--verbose")),
        (["x", "PASSWORD=hunter2"], ("x", "PASSWORD=***")),
        (["x", "http://a:hunter2@b/?q=1"], ("x", "http://a:***@b/?q=1")),
        ([], ()),
    ],
)
def test_an_argument_is_shown_without_the_secret_in_it(argv: list[str], shown: tuple[str, ...]) -> None:
    assert hide_in_argv(argv) == shown


def test_a_long_value_costs_no_time_that_grows_faster_than_it() -> None:
    for value in ("a" * 300_000, "a://" * 60_000, "a://b:" * 40_000, "{" * 100_000, '{"a":' * 50_000):
        assert "hunter2" not in hide("VALUE", value)


_texts = st.text(alphabet='aA1:/@{}"=-_ \n', max_size=30) | st.text(max_size=20)


@given(_texts, _texts)
def test_any_value_is_shown_in_some_way(name: str, value: str) -> None:
    shown = hide(name, value)
    assert (shown == "") is (value == "")
    assert isinstance(hide_in_argv([name, value]), tuple)


@given(st.dictionaries(_texts, _texts, min_size=1))
def test_a_configuration_keeps_its_names(config: dict[str, str]) -> None:
    assert json.loads(hide("MALBOX_CONFIG", json.dumps(config))) == {
        name: hide(name, value) for name, value in config.items()
    }
