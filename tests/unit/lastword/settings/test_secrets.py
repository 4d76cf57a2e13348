"""Secrets come from the environment or a file, and are seen nowhere."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from lastword.settings.bridge import (
    PATHS,
    BridgeSettings,
    complaint_about_property,
    kafka_properties,
    refuse_unknown_settings,
)
from lastword.settings.environment import GONE, environment_names
from lastword.settings.shared import SettingsError, TaskSettings, load, refuse_misspelt_settings
from tests.commands import PASSWORD, REPOSITORY, clean_env

REDIS_URL = f"redis://shop:{PASSWORD}@cache.example/0"
SECRETS = {
    "REDIS_URL": REDIS_URL,
    "LASTWORD_ZOOKEEPER_AUTH": f"shop:{PASSWORD}",
    "LASTWORD_ZOOKEEPER_TLS_CA": "system",
    "LASTWORD_ZOOKEEPER_TLS_KEY_PASSWORD": PASSWORD,
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - clean_env({}).keys():
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def load_all() -> None:
    refuse_misspelt_settings()
    load(TaskSettings)
    kafka_properties(load(BridgeSettings))


# From a file.


@pytest.mark.parametrize("end", ["", "\n"])
def test_any_setting_may_be_in_a_file(end: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(f"{REDIS_URL}{end}")
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    assert load(TaskSettings).redis_url.get_secret_value() == REDIS_URL
    file.write_text(f"7{end}")
    monkeypatch.setenv("LASTWORD_CREATE_TOPICS_FILE", str(file))
    assert load(BridgeSettings).create_topics == 7


def test_only_the_newline_at_the_end_is_no_part_of_a_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("shop: a \nb \n\n")
    monkeypatch.setenv("LASTWORD_ZOOKEEPER_AUTH_FILE", str(file))
    assert load(TaskSettings).zookeeper_auth == SecretStr("shop: a \nb \n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "cannot be read: it is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("variable", ["REDIS_URL", "LASTWORD_ZOOKEEPER_AUTH", "LASTWORD_KAFKA_SASL_PASSWORD"])
def test_a_file_that_cannot_be_used_is_named_with_its_variable(
    variable: str, content: bytes | None, said: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(SettingsError) as raised:
        load_all()
    assert str(raised.value) == f"setting {variable}_FILE: the file {str(file)!r} {said}"


def test_every_file_that_cannot_be_used_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL_FILE", "/there/is/none")
    monkeypatch.setenv("LASTWORD_ZOOKEEPER_AUTH_FILE", "/nor/here")
    with pytest.raises(SettingsError) as raised:
        load(TaskSettings)
    lines = sorted(line.partition(": ")[0] for line in str(raised.value).splitlines())
    assert lines == ["setting LASTWORD_ZOOKEEPER_AUTH_FILE", "setting REDIS_URL_FILE"]


@pytest.mark.parametrize("variable", ["REDIS_URL", "LASTWORD_KAFKA_SASL_PASSWORD"])
def test_a_setting_is_not_given_twice(variable: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(REDIS_URL)
    monkeypatch.setenv(variable, REDIS_URL)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(SettingsError) as raised:
        load_all()
    assert str(raised.value) == f"settings {variable} and {variable}_FILE: both are given; one is allowed"


def test_a_wrong_value_in_a_file_is_not_shown(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(PASSWORD)
    monkeypatch.setenv("LASTWORD_CREATE_TOPICS_FILE", str(file))
    with pytest.raises(SettingsError) as raised:
        load(BridgeSettings)
    assert str(raised.value).startswith(
        "setting LASTWORD_CREATE_TOPICS_FILE: given a secret value; it should be a valid"
    )


def test_librdkafka_has_properties_that_end_like_our_files(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("secret\n")
    for name in PATHS:
        monkeypatch.setenv(f"LASTWORD_KAFKA_{name.upper().replace('.', '_')}", "/a/path")
    monkeypatch.setenv("LASTWORD_KAFKA_SASL_PASSWORD_FILE", str(file))
    properties = kafka_properties(load(BridgeSettings))
    assert properties["sasl.password"] == "secret"
    assert {name: properties[name] for name in PATHS} == dict.fromkeys(PATHS, "/a/path")
    assert not [name for name in properties.keys() - PATHS if name.endswith(".file")]


@pytest.mark.parametrize("content", [None, b"", "both"])
def test_the_brokers_url_may_be_in_a_file(content: bytes | str | None, file: Path) -> None:
    env = clean_env({"CELERY_BROKER_URL_FILE": str(file)})
    file.write_text(f"redis://:{PASSWORD}@broker.example/1\n")
    assert python("import celeryconfig; print(celeryconfig.broker_url)", env).stdout == file.read_text()
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        env["CELERY_BROKER_URL"] = f"redis://:{PASSWORD}@elsewhere/1"
    ended = python("import celeryconfig", env)
    assert ended.returncode == 2
    names = (
        "settings CELERY_BROKER_URL and CELERY_BROKER_URL_FILE"
        if content == "both"
        else "setting CELERY_BROKER_URL_FILE"
    )
    assert ended.stderr.startswith(f"lastword: {names}: ")
    assert ended.stderr.count("\n") == 1
    assert PASSWORD not in ended.stderr


# Seen nowhere.


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load(TaskSettings)
    assert settings.redis_url.get_secret_value() == REDIS_URL
    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", f"ftp://:{PASSWORD}@h"),
        ("LASTWORD_ZOOKEEPER_AUTH", PASSWORD),
        ("LASTWORD_ZOOKEEPER_AUTH", f":{PASSWORD}"),
        ("LASTWORD_ZOOKEEPER_AUHT", PASSWORD),
        ("LASTWORD_ZOOKEEPER_TLS_KEY_PASSWORD", PASSWORD),  # without TLS it has no effect
    ],
)
def test_a_wrong_secret_is_refused_without_being_shown(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^setting {name}: ") as raised:
        load_all()
    below_the_test = raised.tb.tb_next
    shown = traceback.TracebackException(raised.type, raised.value, below_the_test, capture_locals=True)
    printed = "".join(shown.format())
    assert "kind = " in printed or "known = " in printed  # the locals, as a crash reporter may show them
    assert PASSWORD not in printed


def test_a_misspelt_secret_is_not_shown_by_the_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_SASL_PASSWORD", PASSWORD)
    with pytest.raises(SettingsError, match=r"^setting LASTWORD_SASL_PASSWORD: there is no such setting") as raised:
        refuse_unknown_settings()
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("variable", ["SASL_PASSWORD", "SSL_KEY_PEM", "SASL_OAUTHBEARER_CONFIG", "SSL_KEY_PASSWORD"])
def test_what_librdkafka_quotes_of_a_secret_is_not_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = variable.lower().replace("_", ".")
    monkeypatch.setenv(f"LASTWORD_KAFKA_{variable}", PASSWORD)
    said = complaint_about_property(f'Invalid value "{PASSWORD}" for configuration property "{name}"')
    assert said == (
        f'setting LASTWORD_KAFKA_{variable}: Invalid value "(a secret value)" for configuration property "{name}"'
    )


def test_what_librdkafka_quotes_from_a_file_is_not_shown(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(PASSWORD)
    monkeypatch.setenv("LASTWORD_KAFKA_SECURITY_PROTOCOL_FILE", str(file))
    said = complaint_about_property(f'Invalid value "{PASSWORD}" for configuration property "security.protocol"')
    assert said.startswith('setting LASTWORD_KAFKA_SECURITY_PROTOCOL_FILE: Invalid value "(a secret value)" for')


def test_what_a_guarantee_rests_on_is_refused_without_what_the_file_holds(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(PASSWORD)
    monkeypatch.setenv("LASTWORD_KAFKA_GROUP_ID_FILE", str(file))
    with pytest.raises(SettingsError) as raised:
        load_all()
    assert str(raised.value) == (
        "setting LASTWORD_KAFKA_GROUP_ID_FILE: given a secret value; it cannot be set, a guarantee rests on it"
    )


def test_celerys_report_hides_the_brokers_password() -> None:
    url = f"redis://:{PASSWORD}@broker.example:6379/1"
    code = "from tasks import app; print(app.bugreport(), app.conf.humanize(with_defaults=False), repr(app))"
    ended = python(code, clean_env({**SECRETS, "CELERY_BROKER_URL": url}))
    assert ended.returncode == 0, ended.stderr
    assert "broker.example" in ended.stdout
    assert PASSWORD not in ended.stdout + ended.stderr


# Misspelt.


def test_the_worker_takes_no_setting_of_the_bridge_for_a_misspelt_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment_names([BridgeSettings, TaskSettings]):
        monkeypatch.setenv(name, "x")
    refuse_misspelt_settings()
    monkeypatch.setenv("LASTWORD_SESSION_TIMEOUT", "x")
    with pytest.raises(SettingsError, match=r"LASTWORD_SESSION_TIMEOUT: .* did you mean LASTWORD_SESSION_TIMEOUT_S\?"):
        refuse_misspelt_settings()


@pytest.mark.parametrize("refuse", [refuse_misspelt_settings, refuse_unknown_settings], ids=["worker", "bridge"])
@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_a_setting_that_is_gone_is_refused_with_what_holds_instead(
    refuse: Callable[[], None], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, instead in GONE.items():
        with monkeypatch.context() as context:
            context.setenv(f"{name}{suffix}", PASSWORD)
            with pytest.raises(SettingsError) as raised:
                refuse()
            assert str(raised.value) == f"setting {name}{suffix}: there is no such setting any more; {instead}"


def python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
