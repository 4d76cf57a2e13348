"""Waiting for servers at the start: visible, and not for ever."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery

from lastword.broker.reach import broker_address, reach_broker
from lastword.cache.cache import Cache
from lastword.process import startup
from lastword.process.reach import reach_cache
from lastword.process.startup import UnreachableError, leave, wait_for
from lastword.settings.shared import SettingsError


class Probe:
    """Refuses so many times."""

    def __init__(self, refusals: float) -> None:
        self.refusals = refusals
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.refusals:
            raise ConnectionError(f"refused {self.calls}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "TRY_EVERY_S", 0.001)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens, as long as it is held here."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_server_that_answers_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    probe = Probe(refusals=0)
    wait_for("Kafka", "127.0.0.1:9092", probe, deadline_s=0)
    assert probe.calls == 1
    assert capsys.readouterr() == ("", "")


def test_each_try_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    wait_for("Kafka", "127.0.0.1:9092", Probe(refusals=3), deadline_s=60)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"lastword: waiting for Kafka at 127.0.0.1:9092: refused {number} (0 s of 60 s)" for number in (1, 2, 3)
    ]


def test_one_reason_is_said_once_and_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(1_000))
    monkeypatch.setattr(startup, "time", SimpleNamespace(monotonic=lambda: next(seconds), sleep=lambda _: None))

    def probe() -> None:
        raise ConnectionError("refused")

    with pytest.raises(UnreachableError):
        wait_for("Redis", "10.0.0.7:6379", probe, deadline_s=25)
    assert [line.rpartition("(")[2] for line in capsys.readouterr().err.splitlines()] == [
        "0 s of 25 s)",
        "10 s of 25 s)",
        "20 s of 25 s)",
    ]


def test_after_the_deadline_it_is_said_which_server_at_which_address_and_why() -> None:
    probe = Probe(refusals=float("inf"))
    with pytest.raises(UnreachableError) as raised:
        wait_for("Redis", "10.0.0.7:6379", probe, deadline_s=0.05)
    assert str(raised.value) == (
        f"Redis at 10.0.0.7:6379 cannot be reached: refused {probe.calls}; gave up after 0 s "
        "(LASTWORD_STARTUP_DEADLINE_S)"
    )
    assert isinstance(raised.value.__cause__, ConnectionError)
    assert probe.calls > 2


def test_a_first_try_that_takes_longer_than_one_would_wait_is_said_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hours = iter(range(0, 360_000, 3_600))
    monkeypatch.setattr(startup, "time", SimpleNamespace(monotonic=lambda: next(hours), sleep=lambda _: None))
    with pytest.raises(UnreachableError):
        wait_for("Redis", "10.0.0.7:6379", Probe(refusals=float("inf")), deadline_s=1)
    assert capsys.readouterr().err == "lastword: waiting for Redis at 10.0.0.7:6379: refused 1 (0 s of 1 s)\n"


def test_a_deadline_of_zero_allows_one_try() -> None:
    probe = Probe(refusals=1)
    with pytest.raises(UnreachableError):
        wait_for("Redis", "10.0.0.7:6379", probe, deadline_s=0)
    assert probe.calls == 1


def test_the_last_pause_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "TRY_EVERY_S", 60.0)
    probe = Probe(refusals=1)
    wait_for("Redis", "10.0.0.7:6379", probe, deadline_s=0.01)
    assert probe.calls == 2


def test_an_error_that_waiting_does_not_heal_ends_the_wait() -> None:
    def probe() -> None:
        raise SettingsError("wrong")

    with pytest.raises(SettingsError, match="wrong"):
        wait_for("Redis", "10.0.0.7:6379", probe, deadline_s=60)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:hunter2@h:6379/1", "redis://:**@h:6379/1"),
        ("amqp://someone:hunter2@h//", "amqp://someone:**@h:5672//"),
    ],
)
def test_the_address_of_a_broker_hides_its_password(url: str, address: str) -> None:
    assert broker_address(Celery("test", broker=url)) == address


@pytest.mark.parametrize(
    "url",
    ["kafkaesque://:hunter2@h", "redis://:hunter2/x@h:1/1", "redis://:hunter2@h:port/1", "redis://h?password=hunter2"],
)
def test_a_broker_url_that_cannot_be_used_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^setting CELERY_BROKER_URL: ") as raised:
        broker_address(Celery("test", broker=url))
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("transport", ["redis", "amqp"])
def test_a_broker_that_is_not_there_is_a_connection_error(transport: str, closed_port: int) -> None:
    with pytest.raises(ConnectionError, match="refused"):
        reach_broker(Celery("test", broker=f"{transport}://127.0.0.1:{closed_port}//"))


def test_a_redis_that_is_not_there_is_a_connection_error(closed_port: int) -> None:
    cache = Cache.connect(f"redis://127.0.0.1:{closed_port}")
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{closed_port}"):
        reach_cache(cache)
    cache.close()


def test_leaving_says_why_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        leave("this\nand that", 3)
    assert raised.value.code == 3
    assert capsys.readouterr().err == "lastword: this\nlastword: and that\n"
