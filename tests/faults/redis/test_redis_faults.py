"""The cache's Redis restarted, paused, full, without its scripts. The broker is another.

What Redis forgets for good is in test_redis_loses.py.
"""

from collections.abc import Iterator

import pytest
import redis

from servers import Redis
from tests.celery_brokers import RedisBroker
from tests.faults.dead_letters import count_letters
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import Flow
from tests.pools import GROUP, POOLS_WHERE_A_SERVER_FAILS, THREADS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture(autouse=True)
def broker(flow: Flow, redis_broker: RedisBroker) -> Iterator[None]:
    flow.environment["CELERY_BROKER_URL"] = redis_broker.url
    yield
    redis_broker.wipe()


@pytest.fixture
def cache(own_redis: Redis) -> Iterator[Redis]:
    """The flow's Redis, mended after the test."""
    yield own_redis
    if own_redis.running:
        own_redis.resume()
    else:
        own_redis.start()
    with own_redis.admin() as client:
        client.config_set("maxmemory", "0")


@POOLS_WHERE_A_SERVER_FAILS
def test_redis_down_and_back_under_load(flow: Flow, cache: Redis, pool: tuple[str, ...]) -> None:
    """Shut down in order: what it holds, it saves."""
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Redis (the cache) restarted in order", under=name_of(pool)) as measurement:
            cache.stop()
            bridge.wait_for_log("Redis cannot be asked what it holds")
            worker.wait_for_log("CacheUnavailableError")
            cache.start()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert count_letters(flow) == 0


def test_a_redis_that_does_not_answer_confirms_nothing(flow: Flow, cache: Redis) -> None:
    """There is no worker until the bridge has had time to commit: what it commits before is too early."""
    with flow.bridge() as bridge:
        flow.publish(100, 30)
        cache.stop()
        bridge.wait_for_log("Redis cannot be asked what it holds")
        cache.start()
        with cache.admin() as client:
            asked = seals(client)
            wait_until(lambda: seals(client) >= asked + 4, what="four answers to the bridge, and a second between them")
        with celery_worker(flow.environment, *THREADS):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()


def seals(client: redis.Redis) -> int:
    """Grows whenever a bridge has asked what is held; at rest once a second."""
    return sum(int(client.get(key) or 0) for key in client.keys("lastword:stamp:*"))


@POOLS_WHERE_A_SERVER_FAILS
def test_redis_paused_under_load(flow: Flow, cache: Redis, pool: tuple[str, ...]) -> None:
    """Nothing tells but the deadline of each call."""
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Redis (the cache) paused (SIGSTOP)", under=name_of(pool)) as measurement:
            cache.pause()
            bridge.wait_for_log("Redis cannot be asked what it holds")
            worker.wait_for_log("CacheUnavailableError")
            cache.resume()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert count_letters(flow) == 0


@pytest.mark.core
def test_redis_forgets_its_scripts_under_load(flow: Flow, cache: Redis) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge(), Load(flow) as changes:
        with cache.admin(decode_responses=True) as client, measured(flow, "SCRIPT FLUSH, ten times", under="group"):
            before = refused_scripts(client)
            for _ in range(10):
                changes.wait_until_flowing()
                client.script_flush()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
            assert refused_scripts(client) >= before + 10
        flow.wait_until_all_is_committed()
    assert count_letters(flow) == 0


def refused_scripts(client: redis.Redis) -> int:
    """How often a script was not there."""
    errors: dict[str, dict[str, int]] = client.info("errorstats")
    return errors.get("errorstat_NOSCRIPT", {"count": 0})["count"]


@POOLS_WHERE_A_SERVER_FAILS
def test_redis_out_of_memory_under_load(flow: Flow, cache: Redis, pool: tuple[str, ...]) -> None:
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with cache.admin() as client, measured(flow, "Redis out of memory", under=name_of(pool)) as measurement:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            client.config_set("maxmemory", "1mb")
            worker.wait_for_log("OutOfMemoryError: command not allowed")
            bridge.wait_for_log("presumed lost")
            client.config_set("maxmemory", "0")
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert count_letters(flow) == 0
