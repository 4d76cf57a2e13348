"""A Celery broker as it is in real life, with the settings of celeryconfig.py: TLS with a password, and Sentinels."""

import json
import runpy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from bridge.enqueue.enqueue import EnqueueError
from lastword.broker.reach import broker_address, reach_broker
from lastword.settings.shared import SettingsError
from servers import Redis, RedisSentinels, Tls, ZooKeeper
from servers.redis_sentinel import SERVICE
from tests.redis_forms import make_tls, need
from tests.task_helpers import Sender, TaskLog, live
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY, celery_worker, worker_env

SENTINELS = "CELERY_BROKER_TRANSPORT_OPTIONS"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(scope="module")
def secured(tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    users = ["user default off", "user celery on >s3cret ~* &* +@all"]
    with Redis(tmp_path_factory.mktemp("secured"), program=need("redis-server"), users=users, tls=tls) as server:
        yield server


@contextmanager
def configured_app(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An application as celeryconfig.py makes it of this environment; the one of this process has read it already."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    app = Celery("test", set_as_current=False)
    settings = runpy.run_path(str(REPOSITORY / "lastword/celeryconfig.py"))
    app.conf.update({name: value for name, value in settings.items() if name.startswith(("broker", "task"))})
    yield app
    app.close()


@pytest.fixture
def env(redis_server: Redis, zookeeper_server: ZooKeeper) -> dict[str, str]:
    name = f"test-{uuid.uuid4()}"
    return worker_env(redis_server, zookeeper_server, root=f"/{name}", key_prefix=f"{name}:")


def test_a_broker_with_tls_and_an_acl_user(
    env: dict[str, str], secured: Redis, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    env["CELERY_BROKER_URL"] = f"rediss://celery:s3cret@localhost:{secured.port}/1?ssl_ca_certs={tls.ca}"

    with configured_app(env, monkeypatch) as app, celery_worker(env, "-P", "threads", "-c", "2") as worker:
        assert TaskLog(worker).result(Sender(app).send(live("42"))) == "applied"
        assert "s3cret" not in worker.log
        assert "insecure" not in worker.log


@pytest.mark.parametrize(
    ("authority", "with_ca", "reason"),
    [
        pytest.param("celery:s3cret@localhost", False, r"certificate verify failed.*ssl_ca_certs=", id="unknown CA"),
        pytest.param("celery:s3cret@127.0.0.1", True, "certificate verify failed: IP address mismatch", id="name"),
        pytest.param(
            "celery:wr0ng-s3cret@localhost", True, "invalid username-password pair.*check the user", id="password"
        ),
    ],
)
def test_a_broker_that_is_not_the_right_one_or_does_not_know_us_is_told(
    *, secured: Redis, tls: Tls, authority: str, with_ca: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"?ssl_ca_certs={tls.ca}" if with_ca else ""
    env = {"CELERY_BROKER_URL": f"rediss://{authority}:{secured.port}/1{query}"}

    with configured_app(env, monkeypatch) as app, pytest.raises(ConnectionError, match=reason) as raised:
        reach_broker(app)

    assert "s3cret" not in str(raised.value)


def test_a_broker_behind_sentinels_before_and_after_a_failover(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisSentinels(tmp_path) as group:
        env["CELERY_BROKER_URL"] = ";".join(f"sentinel://{sentinel.address}/1" for sentinel in group.sentinels)
        env[SENTINELS] = json.dumps({"master_name": SERVICE})
        with configured_app(env, monkeypatch) as app, celery_worker(env, "-P", "threads", "-c", "2") as worker:
            sender, log = Sender(app), TaskLog(worker)
            assert log.result(sender.send(live("42", 1))) == "applied"

            group.primary.kill()

            def sent() -> str:
                try:
                    return sender.send(live("42", 2))
                except EnqueueError:
                    return ""

            assert log.result(wait_until(sent, what="a broker after the failover")) == "applied"


def test_sentinels_without_the_name_of_their_service_are_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"CELERY_BROKER_URL": "sentinel://:s3cret@127.0.0.1:1/1;sentinel://:s3cret@127.0.0.1:2/1"}

    with configured_app(env, monkeypatch) as app, pytest.raises(SettingsError, match="master_name") as raised:
        broker_address(app)

    assert "s3cret" not in str(raised.value)


def test_an_unknown_service_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisSentinels(tmp_path) as group:
        env = {
            "CELERY_BROKER_URL": f"sentinel://{group.sentinels[0].address}/1",
            SENTINELS: json.dumps({"master_name": "nobodys"}),
        }
        with configured_app(env, monkeypatch) as app, pytest.raises(ConnectionError, match="nobodys"):
            reach_broker(app)


@pytest.mark.parametrize("given", ["mymaster", "[1]", "3"])
def test_transport_options_that_are_no_json_object_end_the_process_with_a_line(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised, configured_app({SENTINELS: given}, monkeypatch):
        pass

    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith(f"lastword: setting {SENTINELS}: ")
