"""A worker of a flow with a queue of its own, beside what an older release has left, and tasks of other flows."""

from collections.abc import Iterator

import pytest

from lastword.contract.flow import Destination, flow_of
from servers import Reachable, ReachableRedis
from tests.lock_helpers import acquire_when_possible
from tests.pools import POOLS
from tests.task_helpers import Sender, Site, TaskLog, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture
def flow_site(redis_server: ReachableRedis, zookeeper_server: Reachable) -> Iterator[Site]:
    """A site whose flow is known by its prefix, while the bridge still sends to the queue of before."""
    with open_site(redis_server, redis_server, zookeeper_server) as site:
        del site.env["LASTWORD_FLOW"]
        assert site.app.conf.task_default_queue == "lastword"
        yield site


def destination(site: Site) -> Destination:
    prefix = site.env["LASTWORD_KEY_PREFIX"]
    return Destination(flow_of(prefix), prefix)


@POOLS
def test_old_tasks_in_the_old_queue_and_new_ones_of_several_flows(flow_site: Site, pool: tuple[str, ...]) -> None:
    to = destination(flow_site)
    stranger = Sender(flow_site.app, Destination("stock", "stock-"))
    ours = Sender(flow_site.app, to)
    lock = f"{to.key_prefix}busy"
    with flow_site.other_locks() as others, acquire_when_possible(others, lock) as grant:
        # All of them before the worker starts, in the queue that there was when there was no other.
        flow_site.sender.send(live("old"))
        _, alone = flow_site.sender.send_together([live("old-1"), live("busy", 2)])
        ours.send_all([live("new"), live("busy", 3)])
        strange, strangers = stranger.send(live("foreign")), stranger.send_together([live("f-1"), live("f-2")])[0]
        with celery_worker(flow_site.env, "-Q", f"lastword,lastword.{to.flow}", *pool) as worker:
            log = TaskLog(worker)
            for update in (live("old"), live("old-1"), live("new")):
                wait_until(lambda update=update: flow_site.holds(update), what=f"{update}")  # type: ignore[misc]
            worker.wait_for_log(f"{strangers}] succeeded")
            worker.wait_for_log(f"{strange}] succeeded")
            worker.wait_for_log(f"dropped: it is for flow 'stock', keys 'stock-…', and this worker for {to}")
            wait_until(lambda: log.retries(alone[1]) or "alone in" in worker.log, what="a busy lock")
            grant.release()
            wait_until(lambda: flow_site.holds(live("busy", 3)), what="what was retried")
    assert flow_site.cache.held(["foreign", "f-1", "f-2"]) == {}
    assert not list(flow_site.raw.scan_iter("stock-*"))
    assert not list(flow_site.raw.scan_iter(f"lastword:failed:{strange.rpartition(':')[0]}*"))


def test_what_is_retried_or_handed_over_says_where_it_belongs_again(flow_site: Site) -> None:
    """A worker with another name for the flow drops it, whatever has become of it before."""
    to = destination(flow_site)
    a, b = (f"{to.key_prefix}{product}" for product in "ab")
    with flow_site.other_locks() as others, acquire_when_possible(others, a, b) as grant:
        sender = Sender(flow_site.app, to)
        task_id = sender.send(live("a"))
        sender.send_together([live("b"), live("c")])
        with celery_worker(flow_site.env, "-Q", "lastword") as worker:
            log = TaskLog(worker)
            wait_until(lambda: log.retries(task_id), what="a retry")
            worker.wait_for_log("product 'b', version")
            wrong = flow_site.env | {"LASTWORD_FLOW": "other"}
            with celery_worker(wrong, "-Q", f"lastword,lastword.{to.flow}") as other:
                other.wait_for_log("dropped: it is for flow")
            grant.release()
    assert flow_site.cache.held(["c"])
