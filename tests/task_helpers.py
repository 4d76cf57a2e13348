"""Both sides of a worker in tests: tasks enqueued as the bridge does it, their events, the cache and the znodes."""

import itertools
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from celery import Celery
from celery.events import EventReceiver
from kazoo.client import KazooClient

from bridge.delivery.in_flight import InFlight
from bridge.delivery.partition_in_flight import PartitionInFlight
from bridge.enqueue.enqueue import Enqueuer
from lastword.cache.cache import Cache
from lastword.contract.flow import Destination
from lastword.contract.record import Update
from lastword.contract.task import BATCH_NAME, TASK_NAME
from lastword.contract.task_id import repetition_id
from lastword.contract.version import Version
from servers import Reachable, ReachableRedis
from tasks.lock.locks import Locks
from tests.lock_helpers import direct_client, lock_count, lock_stat, open_locks
from tests.waiting import wait_until
from tests.worker_helpers import BROKER_DB, CeleryWorker, empty_broker, worker_env

Event = dict[str, Any]
MARKED = "third"


def client_app(broker_url: str) -> Celery:
    """A Celery application with our settings that talks to ``broker_url``, and is nobody's current one."""
    app = Celery("test-client", set_as_current=False)
    app.config_from_object("celeryconfig")
    app.conf.update(broker_url=broker_url)
    return app


def live(entity_id: str, sequence: int = 1, data: bytes | None = b"1") -> Update:
    """An update; without data the bare notice that the product changed."""
    return Update(entity_id=entity_id, version=Version(1_763_800_000_000_000, sequence), data=data)


class Sender:
    """Enqueues updates as the bridge does, each from a record of its own; without ``to`` as an older release did."""

    def __init__(self, app: Celery, to: Destination | None = None) -> None:
        self._to = to
        self._app = app
        self._topic = f"test-{uuid.uuid4()}"
        self._partition = PartitionInFlight(0)
        self._offsets = itertools.count()

    def send(self, update: Update, *, task_life_s: float = 600.0) -> str:
        """Enqueue the update and return its task's id; a negative life means that its time is over already."""
        return self.send_with_nonce(update, task_life_s=task_life_s)[0]

    def send_with_nonce(self, update: Update, *, task_life_s: float = 600.0) -> tuple[str, str]:
        [sent] = self._send([update], task_life_s)
        return sent

    def send_all(self, updates: Sequence[Update]) -> list[str]:
        """Enqueue the updates in one go and return their tasks' ids."""
        return [task_id for task_id, _ in self._send(updates, 600.0)]

    def send_together(self, updates: Sequence[Update]) -> tuple[str, list[str]]:
        """Enqueue one task that carries all the updates; return its id, and those that each would have alone."""
        ids = [task_id for task_id, _ in self._send(updates, 600.0, updates_per_task=len(updates))]
        return f"{ids[0]}+{len(ids) - 1}", ids

    def _send(
        self, updates: Sequence[Update], task_life_s: float, *, updates_per_task: int = 1
    ) -> list[tuple[str, str]]:
        enqueuer = Enqueuer(
            self._app,
            self._topic,
            task_life_s=task_life_s,
            updates_per_task=updates_per_task,
            to=lambda: self._to,
        )
        records = [self._partition.deliver(next(self._offsets), 1, 100, None) for _ in updates]
        entries = [InFlight(record=record, update=update) for record, update in zip(records, updates, strict=True)]
        enqueuer.send(entries)
        enqueuer.close()
        return [(enqueuer.task_id(entry), entry.nonces[-1]) for entry in entries]

    def send_marked(self, update: Update, *, before: Callable[[str], None]) -> str:
        """Enqueue an update's third send, whose nonce is MARKED, and return its id.

        ``before`` is called with the id of the first: what is kept of any send is under that.
        """
        enqueuer = Enqueuer(self._app, self._topic)
        entry = InFlight(record=self._partition.deliver(next(self._offsets), 1, 100, None), update=update)
        entry.sends, entry.nonces = 2, ["first", "second", MARKED]
        before(enqueuer.task_id(entry))
        enqueuer.send([entry])
        enqueuer.close()
        return repetition_id(enqueuer.task_id(entry), 3, MARKED)


class TaskLog:
    """What a worker's log says of its tasks, each line in Celery's words."""

    def __init__(self, worker: CeleryWorker) -> None:
        self.worker = worker

    def retries(self, task_id: str) -> list[str]:
        """Why and for how long a task was put off: ``Retry in 1s: LockBusyError(...)``, in order."""
        return self._all(task_id, r"retry: (Retry in .*)")

    def result(self, task_id: str) -> str:
        """The outcome of a task, once it has succeeded; AssertionError at once if it failed instead."""

        def ended() -> list[str]:
            failed = self._all(task_id, r"raised (.*)")
            assert not failed, failed
            return self._all(task_id, r"succeeded in [\d.e-]+s: '(\w+)'")

        return wait_until(ended, what=f"the success of task {task_id}")[0]

    def summary(self, batch_id: str) -> str:
        """The result of a task that carried many updates, once it has succeeded."""
        said = rf"Task {BATCH_NAME}\[{re.escape(batch_id)}\] succeeded in [\d.e-]+s: '(.*)'"
        found: list[str] = wait_until(lambda: re.findall(said, self.worker.log), what=f"the success of task {batch_id}")
        return found[0]

    def failure(self, task_id: str) -> str:
        """The error of a task, once it has failed as foreseen."""
        return wait_until(lambda: self._all(task_id, "raised expected: (.*)"), what=f"the failure of task {task_id}")[0]

    def _all(self, task_id: str, said: str) -> list[str]:
        return re.findall(rf"Task {TASK_NAME}\[{re.escape(task_id)}\] {said}", self.worker.log)


@contextmanager
def task_events(app: Celery, worker: CeleryWorker) -> Iterator[list[Event]]:
    """A growing list of all events on the broker, as Flower sees them; none after entry is missed."""
    events: list[Event] = []
    connection = app.connection_for_read()
    receiver: EventReceiver = app.events.Receiver(connection, handlers={"*": events.append})
    thread = threading.Thread(target=receiver.capture, kwargs={"limit": None}, name="task-events", daemon=True)
    thread.start()
    try:
        # Subscribing has taken effect when the worker's heartbeat, one every two seconds, comes through.
        wait_until(lambda: [event for event in list(events) if event.get("hostname") == worker.name], what="an event")
        yield events
    finally:
        receiver.should_stop = True
        thread.join(120)
        connection.release()


@dataclass(frozen=True)
class Site:
    """What a worker works on; the cache is in a Redis of its own, so that it can fail without the broker."""

    env: dict[str, str]
    app: Celery
    sender: Sender
    raw: redis.Redis
    cache: Cache
    zookeeper: KazooClient

    @property
    def root(self) -> str:
        return self.env["LASTWORD_ZOOKEEPER_ROOT"]

    def key(self, entity_id: str) -> str:
        return self.env["LASTWORD_KEY_PREFIX"] + entity_id

    def other_locks(self) -> AbstractContextManager[Locks]:
        """The locks of another process."""
        return open_locks(self.env["ZOOKEEPER_HOSTS"], self.root)

    def holds(self, update: Update) -> bool:
        return self.cache.held([update.entity_id]).get(update.entity_id) == update.version

    def is_locked(self, entity_id: str) -> bool:
        return lock_stat(self.zookeeper, self.root, entity_id) is not None

    def locks(self) -> int:
        return lock_count(self.zookeeper, self.root)

    def sessions(self) -> int:
        return len(self.zookeeper.get_children(f"{self.root}/guards"))

    @contextmanager
    def writes_withheld(self) -> Iterator[None]:
        """Redis answers reads and keeps everybody who writes waiting: a worker that writes now holds its lock."""
        self.raw.client_pause(60_000, all=False)
        try:
            yield
        finally:
            self.raw.client_unpause()


class Running(NamedTuple):
    """A worker that runs, and what it works on."""

    site: Site
    worker: CeleryWorker


@contextmanager
def open_site(
    cache_server: ReachableRedis, broker_server: ReachableRedis, zookeeper_server: Reachable
) -> Iterator[Site]:
    """A site with an empty broker, and names of its own in ZooKeeper and the cache."""
    name = f"test-{uuid.uuid4()}"
    empty_broker(broker_server)
    env = worker_env(broker_server, zookeeper_server, root=f"/{name}", key_prefix=f"{name}:")
    env["REDIS_URL"] = cache_server.url()
    app = client_app(broker_server.url(BROKER_DB))
    cache = Cache.connect(cache_server.url(), key_prefix=f"{name}:")
    with redis.Redis.from_url(cache_server.url()) as raw, direct_client(zookeeper_server.address) as zookeeper:
        yield Site(
            env=env,
            app=app,
            sender=Sender(app),
            raw=raw,
            cache=cache,
            zookeeper=zookeeper,
        )
    cache.close()
    app.close()
