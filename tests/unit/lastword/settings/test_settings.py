"""Every wrong setting is said in one line: which variable, what was given, what is allowed."""

import ctypes
import os
import re
import tempfile

import pytest
from confluent_kafka import cimpl
from pydantic import SecretStr

from lastword.contract.record import KeyForm, Rules
from lastword.kafka.client import CONSUMER_GUARANTEES
from lastword.publisher.producing import PRODUCER_GUARANTEES
from lastword.settings.bridge import GUARDED, BridgeSettings, kafka_properties, refuse_unknown_settings
from lastword.settings.shared import REDIS_SCHEMES, SettingsError, TaskSettings, environment_name, load

ADDRESSES = {
    "redis_url": "REDIS_URL",
    "zookeeper_hosts": "ZOOKEEPER_HOSTS",
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
}
FIELDS = [(kind, field) for kind in (TaskSettings, BridgeSettings) for field in kind.model_fields]
GIVEN = {
    "positions_anew": "2025-11-22T08:26:40Z,2025-11-23T08:26:40Z",
    "redis_url": "rediss://cache.example:6390/2",
    "zookeeper_root": "/shop/lastword-2",
    "zookeeper_auth": "shop:hunter2",
    "zookeeper_tls_ca": os.devnull,
    "zookeeper_tls_cert": os.devnull,
    "zookeeper_tls_key": os.devnull,
    "ttl_s": "700000",
    "tombstone_ttl_s": "700000",
    "key_form": "int64",
    "key_must_agree": "False",
    "table_in_one_partition": "True",
    "tombstone_time_from_record": "True",
    "stock": "True",
    "loader": "shop.rows:load",
    "format": "canal",
}
"""Something else than the default for every setting; 3 for those that are not here."""
NEEDED = {
    "zookeeper_tls_cert": ["zookeeper_tls_ca", "zookeeper_tls_key"],
    "zookeeper_tls_key": ["zookeeper_tls_ca", "zookeeper_tls_cert"],
    "zookeeper_tls_key_password": ["zookeeper_tls_ca"],
}
"""The settings without which another one is refused."""
Kind = type[TaskSettings] | type[BridgeSettings]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LASTWORD_") or name in ADDRESSES.values():
            monkeypatch.delenv(name)


def seen(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def complaint(kind: Kind) -> str:
    with pytest.raises(SettingsError) as raised:
        load(kind)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_defaults_of_the_worker() -> None:
    settings = load(TaskSettings)
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.zookeeper_hosts == "127.0.0.1:2181"
    assert settings.zookeeper_root == "/lastword"
    assert settings.session_timeout_s == 10
    assert settings.key_prefix == "product:"
    assert settings.replay_horizon_s == 7 * 24 * 60 * 60
    assert (settings.ttl_s, settings.tombstone_ttl_s) == (None, None)
    assert settings.rules == Rules(KeyForm.TEXT, key_must_agree=True, future_limit_s=24 * 60 * 60, notices=False)


def test_defaults_of_the_bridge() -> None:
    settings = load(BridgeSettings)
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert (settings.topic, settings.letters_topic) == ("product-updates", "product-updates-dlt")
    assert settings.consumer_group == "lastword"
    assert (settings.create_topics, settings.in_flight_bytes_max) == (0, 64 * 1024 * 1024)
    assert settings.shutdown_deadline_s == 20


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_each_setting_is_read_from_its_variable(kind: Kind, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = environment_name(kind, field)
    assert variable == ADDRESSES.get(field, f"LASTWORD_{field.upper()}")
    default = getattr(load(kind), field)
    monkeypatch.setenv(variable, GIVEN.get(field, "3"))
    for needed in NEEDED.get(field, ()):
        monkeypatch.setenv(environment_name(kind, needed), GIVEN[needed])
    found = getattr(load(kind), field)
    assert found != default
    assert (seen(found)).removesuffix(".0") == GIVEN.get(field, "3")


def test_the_times_at_which_positions_began_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_POSITIONS_ANEW", GIVEN["positions_anew"])
    assert load(TaskSettings).rules.anew_ms == (1_763_800_000_000, 1_763_886_400_000)
    for wrong, said in (
        ("yesterday", "it should be times with commas between: 'yesterday' is not an RFC 3339 time"),
        ("2025-11-23T08:26:40Z,2025-11-22T08:26:40Z", "it should be ascending times, no more than 15"),
        (",".join(f"2025-11-{day:02}T08:26:40Z" for day in range(1, 17)), "no more than 15"),
    ):
        monkeypatch.setenv("LASTWORD_POSITIONS_ANEW", wrong)
        assert said in complaint(TaskSettings)


@pytest.mark.parametrize(("field", "variable"), ADDRESSES.items())
def test_an_address_has_one_name_and_no_prefix(field: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Kind = BridgeSettings if field.startswith("kafka") else TaskSettings
    default = getattr(load(kind), field)
    monkeypatch.setenv(f"LASTWORD_{variable}", "redis://elsewhere:1")
    assert getattr(load(kind), field) == default


@pytest.mark.parametrize(
    ("kind", "variable", "given", "allowed"),
    [
        (BridgeSettings, "LASTWORD_UNDECODABLE_MAX", "many", "it should be a valid integer"),
        (BridgeSettings, "LASTWORD_UNDECODABLE_MAX", "1.5", "it should be a valid integer"),
        (BridgeSettings, "LASTWORD_UNDECODABLE_MAX", "0", "it should be greater than or equal to 1"),
        (TaskSettings, "LASTWORD_LOADER_LAG_S", "600", "it should be less than 600"),
        (TaskSettings, "LASTWORD_SESSION_TIMEOUT_S", "0.5", "it should be greater than or equal to 1"),
        (TaskSettings, "LASTWORD_SESSION_TIMEOUT_S", "41", "it should be less than or equal to 40"),
        (TaskSettings, "LASTWORD_SESSION_TIMEOUT_S", "ten", "it should be a valid number"),
        (TaskSettings, "LASTWORD_STARTUP_DEADLINE_S", "nan", "it should be a finite number"),
        (TaskSettings, "LASTWORD_STARTUP_DEADLINE_S", "inf", "it should be a finite number"),
        (TaskSettings, "LASTWORD_KEY_MUST_AGREE", "perhaps", "it should be a valid boolean"),
        (TaskSettings, "LASTWORD_KEY_FORM", "xml", "it should be 'text', 'json' or 'int64'"),
        (TaskSettings, "LASTWORD_KEY_PREFIX", "", "it should have at least 1 character"),
        (TaskSettings, "LASTWORD_ZOOKEEPER_ROOT", "lastword", r"it should match pattern '^(/"),
        (TaskSettings, "LASTWORD_ZOOKEEPER_ROOT", "/a/", r"it should match pattern '^(/"),
        (TaskSettings, "LASTWORD_ZOOKEEPER_ROOT", "/a\n/b", r"it should match pattern '^(/"),
        (
            TaskSettings,
            "LASTWORD_TTL_S",
            "604799",
            "it should be at least LASTWORD_REPLAY_HORIZON_S (604800 s), or",
        ),
        (TaskSettings, "LASTWORD_TOMBSTONE_TTL_S", "0", "it should be at least LASTWORD_REPLAY_HORIZON_S (604800 s)"),
        (TaskSettings, "LASTWORD_TTL_S", "", "it should be a valid integer"),
        (TaskSettings, "LASTWORD_LOADER", "shop.rows", "it should match pattern"),
        (TaskSettings, "LASTWORD_LOADER", "shop/rows.py:load", "it should match pattern"),
        (TaskSettings, "LASTWORD_ZOOKEEPER_TLS_CERT", os.devnull, "it has no effect without LASTWORD_ZOOKEEPER_TLS_CA"),
        (TaskSettings, "ZOOKEEPER_HOSTS", "", "it should have at least 1 character"),
        (BridgeSettings, "KAFKA_BOOTSTRAP_SERVERS", "", "it should have at least 1 character"),
        (BridgeSettings, "LASTWORD_TOPIC", "no topic", "it should match pattern"),
        (BridgeSettings, "LASTWORD_TOPIC", "t" * 241, "it should match pattern"),
        (BridgeSettings, "LASTWORD_DEAD_LETTER_TOPIC", "", "it should match pattern"),
        (
            BridgeSettings,
            "LASTWORD_DEAD_LETTER_TOPIC",
            "product-updates",
            "it should not be the same as LASTWORD",
        ),
        (BridgeSettings, "LASTWORD_CREATE_TOPICS", "1001", "it should be less than or equal to 1000"),
        (BridgeSettings, "LASTWORD_CREATE_TOPICS", "true", "it should be a valid integer"),
        (BridgeSettings, "LASTWORD_SHUTDOWN_DEADLINE_S", "inf", "it should be a finite number"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_name_what_was_given_and_what_is_allowed(
    kind: Kind, variable: str, given: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, given)
    assert complaint(kind).startswith(f"setting {variable}: given {given!r}; {allowed}")


def test_a_loader_has_less_time_than_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_SESSION_TIMEOUT_S", "4")
    load(TaskSettings)
    monkeypatch.setenv("LASTWORD_LOADER", "shop.rows:load")
    assert complaint(TaskSettings) == (
        "setting LASTWORD_LOADER_TIMEOUT_S: given 2.0; "
        "it should be less than half of LASTWORD_SESSION_TIMEOUT_S, which is 2 s"
    )
    monkeypatch.setenv("LASTWORD_LOADER_TIMEOUT_S", "1.9")
    assert load(TaskSettings).rules.notices


@pytest.mark.parametrize("name", ["REDIS_URL", "redis_url"])
@pytest.mark.parametrize("url", ["http://:hunter2@h", "hunter2", "", "redis:/hunter2@h"])
def test_a_wrong_redis_url_is_refused_without_its_password(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    assert complaint(TaskSettings) == (
        f"setting REDIS_URL: given a secret value; it should start with one of {', '.join(REDIS_SCHEMES)}"
    )


def test_every_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["LASTWORD_LOADER_LAG_S", "LASTWORD_REPLAY_HORIZON_S", "LASTWORD_KEY_FORM", "LASTWORD_STARTUP_DEADLINE_S"]
    for variable in wrong:
        monkeypatch.setenv(variable, "-1")
    monkeypatch.setenv("LASTWORD_TTL_S", "1")
    with pytest.raises(SettingsError) as raised:
        load(TaskSettings)
    assert sorted(re.findall(r"^setting (\w+): given '-1'; it should", str(raised.value), re.MULTILINE)) == sorted(
        wrong
    )


def test_a_time_to_live_may_be_as_long_as_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_REPLAY_HORIZON_S", "60")
    monkeypatch.setenv("LASTWORD_TTL_S", "60")
    monkeypatch.setenv("LASTWORD_TOMBSTONE_TTL_S", "61")
    settings = load(TaskSettings)
    assert (settings.ttl_s, settings.tombstone_ttl_s) == (60, 61)


def test_the_rules_are_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in {
        "LASTWORD_KEY_FORM": "int64",
        "LASTWORD_KEY_MUST_AGREE": "no",
        "LASTWORD_TOMBSTONE_TIME_FROM_RECORD": "1",
    }.items():
        monkeypatch.setenv(name, given)
    assert load(TaskSettings).rules == Rules(KeyForm.INT64, key_must_agree=False, tombstone_time_from_record=True)


def test_topics_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_TOPIC", "t" * 240)
    assert load(BridgeSettings).letters_topic == "t" * 240 + "-dlt"
    monkeypatch.setenv("LASTWORD_DEAD_LETTER_TOPIC", "graveyard")
    assert load(BridgeSettings).letters_topic == "graveyard"


# librdkafka's own properties.


def test_any_librdkafka_property_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("LASTWORD_KAFKA_SSL_CA_LOCATION", "/Some/File")
    monkeypatch.setenv("LASTWORD_KAFKA_CLIENT_ID", "mine")
    assert kafka_properties(load(BridgeSettings)) == {
        "bootstrap.servers": "a:1,b:2",
        "ssl.ca.location": "/Some/File",
        "client.id": "mine",
    }


def test_every_property_of_librdkafka_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    of_one_protocol = {"group.protocol", "group.remote.assignor"}  # in test_group_protocol.py
    for name in librdkafka_properties() - GUARDED - {"bootstrap.servers", "metadata.broker.list"} - of_one_protocol:
        with monkeypatch.context() as context:
            context.setenv(f"LASTWORD_KAFKA_{name.upper().replace('.', '_')}", "x")
            assert kafka_properties(load(BridgeSettings))[name] == "x"


def librdkafka_properties() -> set[str]:
    """All that are set by a text, as librdkafka itself lists them."""
    library = ctypes.CDLL(cimpl.__file__)
    library.rd_kafka_conf_properties_show.restype = None
    with tempfile.TemporaryFile() as file:
        stream = ctypes.CDLL(None).fdopen
        stream.restype = ctypes.c_void_p
        out = ctypes.c_void_p(stream(os.dup(file.fileno()), b"w"))
        library.rd_kafka_conf_properties_show(out)
        ctypes.CDLL(None).fclose(out)
        file.seek(0)
        lines = file.read().decode().splitlines()
    a_programs_own = ("see dedicated API", "rd_kafka_conf_set_events")
    rows = [line for line in lines if "*Type:" in line and not any(words in line for words in a_programs_own)]
    assert len(rows) > 100
    return {row.partition("|")[0].strip() for row in rows}


def test_the_client_has_our_name_unless_told_otherwise() -> None:
    assert kafka_properties(load(BridgeSettings)) == {"bootstrap.servers": "127.0.0.1:9092", "client.id": "lastword"}


@pytest.mark.parametrize(
    "name",
    sorted({*CONSUMER_GUARANTEES, *PRODUCER_GUARANTEES, *GUARDED, "bootstrap.servers", "metadata.broker.list"}),
)
def test_a_property_that_a_guarantee_rests_on_cannot_be_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"LASTWORD_KAFKA_{name.upper().replace('.', '_')}"
    monkeypatch.setenv(variable, "other")
    with pytest.raises(SettingsError) as raised:
        kafka_properties(load(BridgeSettings))
    reason = "it cannot be set, a guarantee rests on it" if name in GUARDED else "set KAFKA_BOOTSTRAP_SERVERS instead"
    assert str(raised.value) == f"setting {variable}: given 'other'; {reason}"


def test_a_misspelt_setting_is_refused_with_the_one_that_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_TOPIC", "known")
    monkeypatch.setenv("LASTWORD_KAFKA_CLIENT_ID", "passed on")
    refuse_unknown_settings()
    monkeypatch.setenv("LASTWORD_TOPC", "x")
    with pytest.raises(
        SettingsError, match=r"setting LASTWORD_TOPC: there is no such setting; did you mean LASTWORD_TOPIC\?"
    ):
        refuse_unknown_settings()
