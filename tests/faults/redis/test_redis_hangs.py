"""The cache's primary hangs, behind Sentinels: how long until the flow goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lastword.redis.client import CALL_TIMEOUT_S
from servers import RedisSentinels
from servers.redis_sentinel import SERVICE
from tests.celery_brokers import RedisBroker
from tests.faults.dead_letters import count_letters
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.faults.redis.test_redis_fails_over import is_primary
from tests.flow import Flow
from tests.injected.constants import with_call_timeout
from tests.pools import POOLS_WHERE_A_SERVER_FAILS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture
def sentinels(tmp_path: Path, flow: Flow, redis_broker: RedisBroker) -> Iterator[RedisSentinels]:
    """The flow's cache behind Sentinels, with the call timeout that is the default."""
    flow.environment["CELERY_BROKER_URL"] = redis_broker.url
    flow.environment["LASTWORD_SESSION_TIMEOUT_S"] = "10"  # no worker dies here, and half of it is to outlast a call
    with RedisSentinels(tmp_path / "sentinels") as sentinels:
        flow.environment["REDIS_URL"] = f"redis+sentinel://{sentinels.addresses}/{SERVICE}"
        flow.environment |= with_call_timeout(flow.environment, CALL_TIMEOUT_S)
        flow.read_from(redis.Redis(port=sentinels.primary.port))
        yield sentinels
        sentinels.primary.resume()
    redis_broker.wipe()


@POOLS_WHERE_A_SERVER_FAILS
def test_a_primary_that_hangs_behind_sentinels(flow: Flow, sentinels: RedisSentinels, pool: tuple[str, ...]) -> None:
    """Nothing tells a client but that a call gets no answer; until another is elected, the Sentinels name it still."""
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        flow.harvest()
        name = "Redis: the primary behind Sentinels hangs (SIGSTOP)"
        with measured(flow, name, under=name_of(pool)) as measurement:
            sentinels.primary.pause()
            flow.read_from(redis.Redis(port=sentinels.replica.port))
            wait_until(lambda: is_primary(sentinels.replica), what="the failover")
            changes.wait_until_flowing()
            measurement.taken_over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        for log in (bridge.log, worker.log):
            assert "does not serve us, TimeoutError: " in log
            assert "serves us again" in log
    assert count_letters(flow) == 0
