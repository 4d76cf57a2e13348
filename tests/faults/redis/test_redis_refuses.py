"""The cache's Redis answers that it does not serve; behind a name or a proxy that leads to another one by then."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import redis

from servers import Redis
from servers.ports import free_port
from servers.redis import RedisReplica
from servers.redis_cluster import BUS, SLOTS
from tests.blackhole import BlackHoleProxy
from tests.celery_brokers import RedisBroker
from tests.commands import Ended, run
from tests.faults.dead_letters import count_letters
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.faults.losses import publish_and_confirm, wait_until_all_is_back
from tests.faults.redis.test_redis_fails_over import cut_off
from tests.faults.refusals import NOWHERE, REFUSALS, Site
from tests.flow import Bridge, Flow
from tests.pools import GROUP, POOLS_WHERE_A_SERVER_FAILS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

VERIFY = ["-m", "bridge", "verify"]
REPLAY = ["-m", "bridge", "replay", "--all-records", "--deadline", "1"]
SERVES_AGAIN = "serves us again"


@pytest.fixture(autouse=True)
def broker(flow: Flow, redis_broker: RedisBroker) -> Iterator[None]:
    flow.environment["CELERY_BROKER_URL"] = redis_broker.url
    flow.environment["LASTWORD_SESSION_TIMEOUT_S"] = "10"  # no worker dies here, and locks are not what is looked at
    yield
    redis_broker.wipe()


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Redis]:
    """The cache at first."""
    with Redis(tmp_path / "old", options={"enable-debug-command": "yes"}) as server:
        yield server


@pytest.fixture
def new(tmp_path: Path, old: Redis) -> Iterator[Redis]:
    """Its replica, which takes over."""
    options = {"replicaof": f"127.0.0.1 {old.port}", "repl-diskless-sync-delay": "0"}
    with RedisReplica(tmp_path / "new", options=options) as server:
        yield server


@pytest.fixture
def relay(flow: Flow, old: Redis) -> Iterator[BlackHoleProxy]:
    """What the flow takes for its cache: as a DNS name or a proxy it chooses a server for each new connection."""
    with BlackHoleProxy(old.address) as relay:
        flow.environment["REDIS_URL"] = f"redis://{relay.address}"
        flow.read_from(redis.Redis(port=old.port))
        yield relay


@POOLS_WHERE_A_SERVER_FAILS
def test_a_demoted_primary_that_keeps_our_connections(
    flow: Flow, relay: BlackHoleProxy, old: Redis, new: Redis, pool: tuple[str, ...]
) -> None:
    """It answers reads, and holds confirmed updates that the new one has not: they must not be taken for held."""
    with celery_worker(flow.environment, *pool) as worker, flow.bridge() as bridge:
        publish_and_confirm(flow)
        cut_off(old, new)
        publish_and_confirm(flow, seed=8)
        name = "Redis behind a name: failed over, the old primary keeps our connections, writes lost"
        with measured(flow, name, under=name_of(pool)), old.admin() as demoted, new.admin() as promoted:
            flow.harvest()
            relay.lead_to(new.address)
            promoted.replicaof("NO", "ONE")
            demoted.replicaof(*NOWHERE)
            flow.read_from(redis.Redis(port=new.port))
            assert flow.held() != flow.newest, "nothing was lost"
            bridge.wait_for_log("has lost what was written after that")
            wait_until_all_is_back(flow)
        for log in (bridge.log, worker.log):
            assert "does not serve us, READONLY: " in log
            assert "serves us again" in log
        assert bridge.log.count("does not serve us, READONLY: ") == 1
        commands_take_no_answer_of_a_replica(flow, relay, old)
    assert count_letters(flow) == 0


def commands_take_no_answer_of_a_replica(flow: Flow, relay: BlackHoleProxy, replica: Redis) -> None:
    def ended(arguments: list[str], address: str) -> Ended:
        url = {"REDIS_URL": f"redis://{address}", "LASTWORD_STARTUP_DEADLINE_S": "5"}
        return run(arguments, {**flow.environment, **url})

    fresh = ended(VERIFY, relay.address)
    assert fresh.code == 0, fresh.out + fresh.err
    refused = ended(VERIFY, replica.address)
    assert refused.code == 3, refused.out + refused.err
    assert "it is a replica" in refused.err
    inspected = ended(["-m", "bridge", "inspect", next(iter(flow.newest))], replica.address)
    assert inspected.code == 3, inspected.out + inspected.err
    replayed = ended(REPLAY, replica.address)
    assert replayed.code == 3, replayed.out + replayed.err
    assert "it is a replica" in replayed.err


@pytest.fixture
def site(tmp_path: Path, relay: BlackHoleProxy, old: Redis) -> Iterator[Site]:
    """The cache behind a proxy, and nodes of Clusters: one that has no slots, one that knows no other."""
    options = {"cluster-enabled": "yes", "save": ""}
    names = ("all slots", "a Cluster's", "of no Cluster")
    nodes = {name: Redis(tmp_path / name, port=free_port(with_second=BUS), options=options) for name in names}
    with ExitStack() as stack:
        for node in nodes.values():
            stack.enter_context(node)
        with nodes["all slots"].admin() as client, nodes["a Cluster's"].admin() as other:
            client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes["a Cluster's"].port)
            wait_until(lambda: answers_moved(other), what="it knows who has the slots")
        yield Site(relay, old, stack.enter_context(old.admin()), nodes)


def answers_moved(client: redis.Redis) -> bool:
    try:
        client.get("any")
    except redis.exceptions.MovedError:
        return True
    except redis.RedisError:
        return False
    return False


def served_again(process: Bridge | CeleryWorker, before: int) -> bool:
    return process.log.count(SERVES_AGAIN) > before


def test_each_refusal_ends_nothing_and_is_told_once(flow: Flow, site: Site) -> None:
    with celery_worker(flow.environment, *GROUP) as worker, flow.bridge() as bridge, Load(flow, per_s=20) as changes:
        name = f"Redis (the cache) refuses, in {len(REFUSALS)} ways one after the other"
        with measured(flow, name, under="group") as measurement:
            for code, strike in REFUSALS.items():
                changes.wait_until_flowing()
                told = bridge.log.count(SERVES_AGAIN), worker.log.count(SERVES_AGAIN)
                with strike(site):
                    bridge.wait_for_log(f"does not serve us, {code}")
                    worker.wait_for_log(f"does not serve us, {code}")
                for process, before in ((bridge, told[0]), (worker, told[1])):
                    wait_until(partial(served_again, process, before), what=f"the end of {code}")
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        for log in (bridge.log, worker.log):
            # Where a server changes, a connection may break as well, or a replica be met on the way.
            assert log.count("does not serve us, ") <= 3 * len(REFUSALS)
    assert count_letters(flow) == 0
