"""What is measured against what; each function is one run on the same servers, from a topic that is full already."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from confluent_kafka import Consumer, TopicPartition

from benchmarks.article import java_command
from benchmarks.load import PARTITIONS, Load
from benchmarks.site import Measurement, Run, Site, require
from lastword.kafka import coordinator

ASSIGNED = "partitions assigned"
BATCH = 1_000
FASTEST = ("--pool", "solo", "--concurrency", "1", "--prefetch-multiplier", "1024")
"""Celery's fastest pool for a task that waits for nothing, with as large a prefetch as the pipeline's."""


@dataclass(frozen=True)
class Mode:
    """How the pipeline is run; by default as ``celeryconfig.py`` and the settings' defaults say, one of each.

    Where there are several bridges, the load is published when all have their partitions, while the clock runs.
    """

    name: str = "pipeline"
    pool: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    broker_url: str | None = None
    updates_per_task: int = 1
    workers: int = 1
    bridges: int = 1
    published_before: bool = True
    stock: bool = False


BATCHED = Mode("pipeline, 200 updates a task", updates_per_task=200)


def pipeline(site: Site, load: Load, mode: Mode | None = None) -> Measurement:
    """Bridge and worker; from the bridge's assignment until Redis shows every product's newest version."""
    mode = mode or Mode()
    environment = {"LASTWORD_UPDATES_PER_TASK": str(mode.updates_per_task)}
    if mode.stock:
        environment["LASTWORD_STOCK"] = "true"
    if mode.broker_url:
        environment["CELERY_BROKER_URL"] = mode.broker_url
    with (
        site.run(load, publish_now=mode.published_before, **mode.settings) as run,
        run.open_cache() as cache,
        ExitStack() as stack,
    ):
        worker, *workers = [
            stack.enter_context(run.worker("tasks", *mode.pool, number=number, **environment))
            for number in range(mode.workers)
        ]
        bridge, *bridges = [
            stack.enter_context(run.program("bridge", "run", "--create-topics", **environment))
            for _ in range(mode.bridges)
        ]
        others = {
            f"{name} {number}": one
            for name, some in (("worker", workers), ("bridge", bridges))
            for number, one in enumerate(some, 2)
        }
        for one in (bridge, *bridges):
            one.wait_for(ASSIGNED)
        zxid = run.zxid()
        with run.meter(worker=worker, bridge=bridge, **others) as meter:
            if not mode.published_before:
                run.publish()
            visible = run.all_visible(cache)
            bridge.wait_until(visible, what="end of the run", deadline_s=run.deadline_s)
        begin = time.monotonic()
        committed = Committed(run)
        bridge.wait_until(committed.is_all, what="commit of all offsets", deadline_s=run.deadline_s)
        committed_s = meter.seconds + time.monotonic() - begin
        committed.close()
        transactions = run.zxid() - zxid
        wrong = run.wrong_hashes(cache)
        left = run.locks_left()
    require(wrong == 0, f"{mode.name}: {wrong} products are not at their newest")
    require(left == 0, f"{mode.name}: everything is at rest, and {left} locks are left")
    return run.measured(mode.name, meter, wrong=wrong, committed_s=committed_s, transactions=transactions)


def plain(site: Site, load: Load) -> Measurement:
    """A consumer that writes Redis itself, in batches; from its assignment until every newest version is shown."""
    with site.run(load) as run, run.open_cache() as cache, run.program("benchmarks.peers.plain") as consumer:
        consumer.wait_for(ASSIGNED)
        with run.meter(consumer=consumer) as meter:
            consumer.wait_until(run.all_visible(cache), what="end of the run", deadline_s=run.deadline_s)
        wrong = run.wrong_hashes(cache)
    require(wrong == 0, f"plain consumer: {wrong} products are not at their newest")
    return run.measured("plain consumer", meter, wrong=wrong)


def naive(site: Site, load: Load, pool: tuple[str, ...]) -> Measurement:
    """Lock recipe, GET, compare, SET and ``.delay``; from the consumer's assignment until all tasks are finished."""
    with (
        site.run(load) as run,
        run.open_cache() as cache,
        run.worker("benchmarks.peers.naive", *pool) as worker,
        run.program("benchmarks.peers.naive_consumer") as consumer,
    ):
        consumer.wait_for(ASSIGNED)
        with run.meter(worker=worker, consumer=consumer) as meter:
            worker.wait_for("finished all tasks", deadline_s=run.deadline_s)
        wrong = run.wrong_values(cache)
    return run.measured("naive version", meter, wrong=wrong)


def article(site: Site, load: Load, commit: str) -> Measurement:
    """The article's flow in Java; from the joining of its last consumer until every newest version is shown."""
    name = f"article in Java, commit per {commit}"
    with (
        site.run(load) as run,
        run.open_cache() as cache,
        run.start("article", java_command(), COMMIT=commit) as program,
    ):
        program.wait_for(ASSIGNED)
        with run.meter(program=program) as meter:
            program.wait_until(run.all_written(cache), what="end of the run", deadline_s=run.deadline_s)
        wrong = run.wrong_values(cache)
    return run.measured(name, meter, wrong=wrong)


def noop(site: Site, load: Load) -> Measurement:
    """As many tasks that do nothing, all enqueued before; from the first task until all are finished."""
    with site.run(load) as run:
        enqueue(run)
        with run.worker("benchmarks.peers.noop", *FASTEST) as worker:
            worker.wait_for("first task")
            with run.meter(worker=worker) as meter:
                worker.wait_for("finished all tasks", deadline_s=run.deadline_s)
    return run.measured("no-op task", meter)


def enqueue(run: Run) -> None:
    """Enqueue a no-op task for each update."""
    with (
        Celery("enqueuer", broker=run.site.addresses.broker_url, set_as_current=False) as app,
        app.producer_or_acquire() as producer,
        producer.batch(max_size=BATCH),
    ):
        for _ in range(run.updates):
            app.send_task("noop", producer=producer, queue=run.names.queue, ignore_result=True, retry=False)


class Committed:
    """The offsets that the run's group has committed, against the topic's ends."""

    def __init__(self, run: Run) -> None:
        self._reader = Consumer(
            {
                "bootstrap.servers": run.site.addresses.kafka,
                "group.id": run.names.group,
                "enable.auto.commit": False,
            }
        )
        self._partitions = [TopicPartition(run.names.topic, number) for number in range(PARTITIONS)]
        self._updates = run.updates

    def is_all(self) -> bool:
        """Whether the commits have reached the ends."""
        found = coordinator.committed(self._reader, self._partitions, timeout_s=10)
        return sum(max(0, one.offset) for one in found) == self._updates

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
