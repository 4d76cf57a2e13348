"""Flower's page of the broker, and its API for queues: they see the broker wherever Celery sees it."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from servers import Redis, RedisSentinels, Tls
from servers.redis_sentinel import SERVICE
from tests.flower_helpers import Flower, http_get, running_flower
from tests.redis_forms import make_tls, need

QUEUE = "lastword"
LOGIN = "me:mine"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(scope="module", params=["no", "yes"], ids=["our certificate is not asked for", "it is"])
def secured(request: pytest.FixtureRequest, tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker that speaks TLS alone, and whose authority is nobody else's; three tasks wait there."""
    ours = f"ssl_ca_certs={tls.ca}" + (
        f"&ssl_certfile={tls.certificate}&ssl_keyfile={tls.key}" if request.param == "yes" else ""
    )
    program = need("redis-server")
    with Redis(tmp_path_factory.mktemp("secured"), program=program, tls=tls) as server:
        url = f"rediss://localhost:{server.port}/1?{ours}"
        with redis.Redis.from_url(url) as raw:
            raw.config_set("tls-auth-clients", request.param)
            raw.rpush(QUEUE, "a", "b", "c")
        yield url


def check(flower: Flower) -> None:
    flower.wait_until_up()
    found = flower.get("/api/queues/length", LOGIN)
    assert found == {"active_queues": [{"name": QUEUE, "messages": 3}]}
    status, page = http_get(flower.port, "/broker", LOGIN)
    assert status == 200
    assert f"<td>{QUEUE}</td>" in "".join(page.decode().split())


def test_a_broker_with_tls_and_an_authority_of_its_own(secured: str, directory: Path) -> None:
    env = {"CELERY_BROKER_URL": secured, "FLOWER_BASIC_AUTH": LOGIN}
    with running_flower(env, directory) as flower:
        check(flower)


def test_a_broker_behind_several_sentinels(directory: Path, tmp_path: Path) -> None:
    with RedisSentinels(tmp_path / f"group-{uuid.uuid4()}") as group:
        with redis.Redis.from_url(group.primary.url(1)) as raw:
            raw.rpush(QUEUE, "a", "b", "c")
        env = {
            "CELERY_BROKER_URL": ";".join(f"sentinel://{sentinel.address}/1" for sentinel in group.sentinels),
            "CELERY_BROKER_TRANSPORT_OPTIONS": json.dumps({"master_name": SERVICE}),
            "FLOWER_BASIC_AUTH": LOGIN,
        }
        with running_flower(env, directory) as flower:
            check(flower)
