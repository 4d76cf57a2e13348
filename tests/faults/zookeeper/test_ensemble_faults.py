"""Three ZooKeepers, of which one may be lost; and what happens while two are."""

from collections.abc import Callable

import psutil
import pytest

from servers import ZooKeeperEnsemble
from servers.zookeeper_ensemble import ZooKeeperMember
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import Flow
from tests.pools import POOLS_WHERE_A_SERVER_FAILS, THREADS, name_of
from tests.waiting import wait_until
from tests.worker_helpers import SESSION_TIMEOUT_S, CeleryWorker, celery_worker


@pytest.fixture
def zookeeper_server(zookeeper_ensemble: ZooKeeperEnsemble) -> ZooKeeperEnsemble:
    return zookeeper_ensemble


def leader(ensemble: ZooKeeperEnsemble, _: CeleryWorker) -> ZooKeeperMember:
    return ensemble.leader


def follower(ensemble: ZooKeeperEnsemble, _: CeleryWorker) -> ZooKeeperMember:
    return ensemble.followers[0]


def own_server(ensemble: ZooKeeperEnsemble, worker: CeleryWorker) -> ZooKeeperMember:
    """The one that has the worker's session."""
    ports = {getattr(one.raddr, "port", None) for one in psutil.Process(worker.pid).net_connections("tcp")}
    (member,) = [member for member in ensemble.members if member.port in ports]
    return member


VICTIMS = pytest.mark.parametrize(
    ("choose", "name"),
    [
        pytest.param(leader, "leader", id="leader"),
        pytest.param(follower, "a follower", id="follower"),
        pytest.param(own_server, "the worker's own server", id="own-server"),
    ],
)


@VICTIMS
def test_one_of_three_killed_under_load(
    flow: Flow,
    zookeeper_ensemble: ZooKeeperEnsemble,
    choose: Callable[[ZooKeeperEnsemble, CeleryWorker], ZooKeeperMember],
    name: str,
) -> None:
    with flow.bridge(), celery_worker(flow.environment, *THREADS) as worker, Load(flow) as changes:
        changes.wait_until_flowing()
        victim = choose(zookeeper_ensemble, worker)
        with measured(flow, f"ZooKeeper: {name} of three killed (-9)") as measurement:
            victim.kill()
            changes.wait_until_flowing()
            measurement.taken_over()
            assert zookeeper_ensemble.leader is not victim
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert not victim.running


def test_the_leader_paused_under_load(flow: Flow, zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    paused = zookeeper_ensemble.leader
    others = [member for member in zookeeper_ensemble.members if member is not paused]
    with flow.bridge(), celery_worker(flow.environment, *THREADS), Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "ZooKeeper: leader paused (SIGSTOP)") as measurement:
            paused.pause()
            wait_until(lambda: any(member.leads for member in others), what="another leader")
            changes.wait_until_flowing()
            measurement.taken_over()
            paused.resume()
            measurement.over()
            wait_until(lambda: not paused.leads, what="the end of two leaders")
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


@POOLS_WHERE_A_SERVER_FAILS
def test_quorum_lost_for_two_session_timeouts(
    flow: Flow, zookeeper_ensemble: ZooKeeperEnsemble, pool: tuple[str, ...]
) -> None:
    victims = [zookeeper_ensemble.leader, zookeeper_ensemble.followers[0]]
    with flow.bridge(), celery_worker(flow.environment, *pool) as worker, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "ZooKeeper: quorum lost", under=name_of(pool)) as measurement:
            for victim in victims:
                victim.kill()
            # By then no lock counts any more.
            wait_until(lambda: measurement.since_s > SESSION_TIMEOUT_S, what="a session timeout")
            waiting = flow.held()
            seen = worker.log.count("Retry in")
            wait_until(lambda: worker.log.count("Retry in") > seen + 40, what="an end in time of each call")
            wait_until(lambda: measurement.since_s > 2 * SESSION_TIMEOUT_S, what="two session timeouts")
            assert flow.held() == waiting, "nothing is written without a lock"
            for victim in victims:
                victim.launch()
            for victim in victims:
                victim.wait_ready()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
