"""A worker whose ``celeryconfig.py`` lists queues, and not the flow's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis, Redis
from tests.task_helpers import Site, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY, celery_worker

LISTED = """
from kombu import Exchange, Queue
from lastword.celeryconfig import *
task_queues = [Queue("other", Exchange("other"), routing_key="other")]
"""


@pytest.fixture
def site(cache_server: Redis, redis_server: ReachableRedis, zookeeper_server: Reachable) -> Iterator[Site]:
    with open_site(cache_server, redis_server, zookeeper_server) as site:
        yield site


@pytest.mark.parametrize("stock", ["false", "true"], ids=["", "stock"])
@pytest.mark.parametrize("options", [(), ("-Q", "lastword")], ids=["as listed", "-Q"])
def test_it_reads_the_flows_queue_too(site: Site, tmp_path: Path, options: tuple[str, ...], stock: str) -> None:
    (tmp_path / "celeryconfig.py").write_text(LISTED)
    env = site.env | {"PYTHONPATH": str(REPOSITORY), "LASTWORD_STOCK": stock}
    with celery_worker(env, *options, directory=tmp_path) as worker:
        site.sender.send(live("42"))
        wait_until(lambda: site.holds(live("42")), what="the update")
        assert "celeryconfig.py: task_queues is ['other']; Lastword's own is None" in worker.log


def test_it_says_so_where_it_was_told_not_to(site: Site, tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text(LISTED)
    with celery_worker(
        site.env | {"PYTHONPATH": str(REPOSITORY)}, "-Q", "other", directory=tmp_path, wait_ready=False
    ) as worker:
        worker.wait_for_log("this worker takes no updates: it reads ['other'], and not 'lastword' (options -Q, -X)")
