"""A worker that was given the settings of another flow, or another cache, beside a right one on the same queue."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from servers import Redis
from tests.celery_brokers import CeleryBroker
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import Flow
from tests.pools import GROUP, PREFORK, THREADS, name_of
from tests.programs import RABBITMQ
from tests.worker_helpers import celery_worker

PREFIX = "LASTWORD_KEY_PREFIX"
WAYS = pytest.mark.parametrize(
    ("broker", "pool"),
    [
        pytest.param("redis_broker", GROUP, id="redis-group"),
        pytest.param("redis_broker", THREADS, id="redis-threads"),
        pytest.param("redis_broker", PREFORK, id="redis-prefork"),
        pytest.param("rabbit_broker", GROUP, id="rabbitmq-group", marks=RABBITMQ.mark),
    ],
)


@pytest.fixture
def cache_elsewhere(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path / "elsewhere") as server:
        yield server


@WAYS
def test_a_worker_with_another_key_prefix_beside_a_right_one(
    flow: Flow, request: pytest.FixtureRequest, broker: str, pool: tuple[str, ...]
) -> None:
    server: CeleryBroker = request.getfixturevalue(broker)
    flow.environment["CELERY_BROKER_URL"] = server.url
    wrong = flow.environment | {PREFIX: f"wrong-{uuid.uuid4().hex}-"}
    with (
        celery_worker(flow.environment, *pool),
        celery_worker(wrong, *pool) as stranger,
        flow.bridge() as bridge,
        Load(flow) as changes,
    ):
        under = f"{server.name}, {name_of(pool)}"
        with measured(flow, "a worker with another key prefix on the queue", under=under) as measurement:
            stranger.wait_for_log("dropped: it is for flow")
            changes.wait_until_flowing()
            bridge.wait_for_log(f"worker {stranger.name} consumes queue 'lastword' and drops the tasks in it")
            stranger.stop()
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert not list(flow.cache.scan_iter(f"{wrong[PREFIX]}*"))
    assert not list(flow.cache.scan_iter(f"lastword:failed:{flow.topic}*"))
    server.wipe()


def test_a_worker_with_another_cache_beside_a_right_one(flow: Flow, cache_elsewhere: Redis) -> None:
    wrong = flow.environment | {"REDIS_URL": cache_elsewhere.url()}
    with (
        celery_worker(flow.environment),
        celery_worker(wrong) as stranger,
        flow.bridge() as bridge,
        Load(flow) as changes,
    ):
        with measured(flow, "a worker with another cache on the queue", under="Redis, group") as measurement:
            stranger.wait_for_log("dropped: the cache of the bridge that sent it")
            changes.wait_until_flowing()
            bridge.wait_for_log(f"worker {stranger.name} drops the tasks of queue 'lastword': its cache is not")
            stranger.stop()
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    with redis.Redis.from_url(cache_elsewhere.url()) as client:
        assert not list(client.scan_iter(f"{flow.prefix}*"))
