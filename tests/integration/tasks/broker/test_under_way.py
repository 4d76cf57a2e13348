"""What Celery tells of tasks that are under way, over Redis and over RabbitMQ."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lastword.contract.task_id import repetition_id
from servers import Redis, ZooKeeper
from servers.ports import free_port
from servers.rabbitmq import RabbitMQ
from tasks.broker.under_way import read_under_way
from tests.lock_helpers import acquire_when_possible
from tests.programs import RABBITMQ
from tests.task_helpers import Sender, Site, client_app, live, open_site
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker


@pytest.fixture(scope="module")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Apart from the cache, whose writes a test withholds."""
    with Redis(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def site(own_redis: Redis, broker_server: Redis, own_zookeeper: ZooKeeper) -> Iterator[Site]:
    with open_site(own_redis, broker_server, own_zookeeper) as site:
        yield site


def test_tasks_that_wait_are_counted_and_nobody_answers(site: Site) -> None:
    task_id = site.sender.send(live("42"))
    found = read_under_way(site.app, [task_id])
    assert (found.queued, found.workers, found.tasks) == (1, (), {})


def test_a_task_that_a_worker_has_is_named(site: Site) -> None:
    with celery_worker(site.env, "-P", "threads", "-c", "2") as worker:
        assert read_under_way(site.app, ["none"]).workers == (worker.name,)
        with site.writes_withheld():
            task_id = site.sender.send(live("42"))
            found = wait_until(
                lambda: state if (state := read_under_way(site.app, [task_id]).tasks.get(task_id)) else None,
                what="the task in a worker's hands",
            )
    assert found is not None
    assert (found.worker, found.state) == (worker.name, "active")
    assert found.since_s is not None


def test_a_task_that_waits_and_one_that_was_revoked_are_named(site: Site) -> None:
    with celery_worker(site.env) as worker, site.other_locks() as locks, acquire_when_possible(locks, "42"):
        task_id = site.sender.send(live("42"))
        waiting = wait_until(
            lambda: (
                state if (state := read_under_way(site.app, [task_id]).tasks.get(task_id)) and state.until_s else None
            ),
            what="a retry that a worker waits for",
        )
        assert waiting is not None
        assert (waiting.worker, waiting.state, waiting.since_s) == (worker.name, "scheduled", None)
        site.app.control.revoke([task_id, repetition_id(task_id, 2, "nonce"), "another:0:1"])
        wait_until(lambda: "flagged as revoked" in worker.log, what="the revocation")
        assert read_under_way(site.app, [task_id]).revoked == (task_id, repetition_id(task_id, 2, "nonce"))


def test_a_worker_that_knows_nothing_of_the_question_is_asked_as_before(site: Site) -> None:
    """One of Celery's own, for a worker of an older release; like that, it finds a task by its id alone."""
    with celery_worker(site.env, "-P", "threads", app="benchmarks.peers.noop") as worker:
        found = read_under_way(site.app, ["products:0:1"])
    assert (found.workers, found.untold, found.tasks) == ((worker.name,), (worker.name,), {})


def test_a_broker_that_is_not_there_is_an_error_without_its_password() -> None:
    app = client_app(f"redis://:hunter2-and-more@127.0.0.1:{free_port()}/1")
    with pytest.raises(ConnectionError, match=r"redis://:\*\*@127\.0\.0\.1:") as raised:
        read_under_way(app, [])
    assert "hunter2" not in str(raised.value)
    app.close()


@RABBITMQ.mark
def test_the_same_over_rabbitmq(tmp_path: Path) -> None:
    with RabbitMQ(tmp_path / "rabbitmq") as server:
        app = client_app(server.url)
        app.conf.update(broker_transport_options={}, control_queue_exclusive=True, event_queue_exclusive=True)
        assert read_under_way(app, []).queued == 0, "there is no queue yet"
        task_id = Sender(app).send(live("42"))
        found = wait_until(lambda: state if (state := read_under_way(app, [task_id])).queued else None)
        assert found is not None
        assert (found.queued, found.workers) == (1, ())
        app.close()
