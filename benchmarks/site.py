"""Where the runs take place: the servers, and for each run names and a directory of its own."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from benchmarks.load import Load, create_topic, publish
from benchmarks.meter import Meter, Usage
from benchmarks.program import BenchmarkError, Program
from examples.names import Names, open_zookeeper, remove, write_celery_settings
from examples.watch import Change, is_shown
from servers import Addresses, Servers

START_S = 180.0
SLOWEST = 20  # updates a second: less than that is a failure
BULK = 1_000


@dataclass(frozen=True)
class Measurement:
    """What one run came to: ``updates`` carried in ``seconds``, ``wrong`` of ``products`` not at their newest.

    ``wrong``: None for who writes nothing. ``committed_s``: until all offsets were committed, for who waits for that;
    ``transactions``: ZooKeeper's until then.
    """

    contender: str
    load: str
    updates: int
    seconds: float
    products: int
    wrong: int | None
    usage: dict[str, Usage]
    committed_s: float | None = None
    transactions: int | None = None

    @property
    def rate(self) -> float:
        """Updates per second."""
        return self.updates / self.seconds

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that all its processes and our own servers used."""
        return sum(usage.cpu_s for usage in self.usage.values())


@dataclass(frozen=True)
class Site:
    """The servers of all runs; ``own`` where they were started for them."""

    addresses: Addresses
    own: Servers | None
    directory: Path

    @contextmanager
    def run(
        self,
        load: Load,
        *,
        publish_now: bool = True,
        topic_config: Mapping[str, str] | None = None,
        **celery_settings: Any,  # noqa: ANN401 - of any type
    ) -> Iterator["Run"]:
        """A run whose topic holds the load, or will hold it; what it leaves on the servers is removed when it ends."""
        names = Names.fresh("lastword-bench")
        directory = Path(tempfile.mkdtemp(prefix=f"{load.name}-", dir=self.directory))
        write_celery_settings(directory, task_default_queue=names.queue, **celery_settings)
        try:
            create_topic(self.addresses.kafka, names.topic, **(topic_config or {}))
            run = Run(self, names, directory, load)
            if publish_now:
                run.publish()
            yield run
        finally:
            remove(names, self.addresses)

    @property
    def pids(self) -> dict[str, int]:
        """The processes of our own servers."""
        return {server.name: server.pid for server in self.own or ()}


@dataclass(frozen=True)
class Run:
    """One run of one contender."""

    site: Site
    names: Names
    directory: Path
    load: Load

    @property
    def updates(self) -> int:
        """How many there are."""
        return len(self.load.changes)

    @property
    def deadline_s(self) -> float:
        """After how many seconds a run has failed."""
        return START_S + self.updates / SLOWEST

    def publish(self) -> None:
        """Put the load on the topic."""
        publish(self.site.addresses.kafka, self.names.topic, self.load)

    def program(self, module: str, *arguments: str, **environment: str) -> Program:
        """Start a Python module that knows the servers, the names and how many updates there are."""
        return self.start(module, [sys.executable, "-m", module, *arguments], **environment)

    def start(self, name: str, command: Sequence[str], **environment: str) -> Program:
        """Start a program that knows the same."""
        given = {"UPDATES": str(self.updates), "QUEUE": self.names.queue}
        known = self.site.addresses.environment | self.names.environment | given
        return Program(self.directory, known | environment, name, command)

    @contextmanager
    def worker(self, app: str, *arguments: str, number: int = 0, **environment: str) -> Iterator[Program]:
        """A Celery worker that is ready for tasks."""
        name = f"{number}-{self.names.worker}" if number else self.names.worker
        quiet = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--hostname", name)
        command = ("-A", app, "worker", "--include", "benchmarks.peers.finished", *quiet, *arguments)
        with self.program("celery", *command, **environment) as worker:
            worker.wait_for("ready for tasks")
            yield worker

    def meter(self, **programs: Program) -> Meter:
        """A meter of these programs and of our own servers."""
        return Meter({name: program.pid for name, program in programs.items()} | self.site.pids)

    def measured(
        self,
        contender: str,
        meter: Meter,
        *,
        wrong: int | None = None,
        committed_s: float | None = None,
        transactions: int | None = None,
    ) -> Measurement:
        """What the run came to."""
        return Measurement(
            contender=contender,
            load=self.load.name,
            updates=self.updates,
            seconds=meter.seconds,
            products=len(self.load.newest),
            wrong=wrong,
            usage=meter.usage,
            committed_s=committed_s,
            transactions=transactions,
        )

    def zxid(self) -> int:
        """The number of ZooKeeper's last transaction."""
        with open_zookeeper(self.site.addresses.zookeeper) as client:
            client.exists("/")  # the number comes with each answer
            return int(client.last_zxid)

    def locks_left(self) -> int:
        """How many locks there are in ZooKeeper."""
        with open_zookeeper(self.site.addresses.zookeeper) as client:
            shards = f"{self.names.root}/locks"
            return sum(len(client.get_children(f"{shards}/{shard}")) for shard in client.get_children(shards))

    def open_cache(self) -> redis.Redis:
        """The cache, read without the project's own code."""
        return redis.Redis.from_url(self.site.addresses.redis_url)

    def all_visible(self, cache: redis.Redis) -> Callable[[], bool]:
        """What tells whether every product is at its newest version; it asks for the one changed last, then for all."""
        pending = sorted(self.load.newest.values(), key=lambda change: change.order)

        def look() -> bool:
            while pending and not self._unseen(cache, pending[-1:]):
                pending[:] = self._unseen(cache, pending)
            return not pending

        return look

    def _unseen(self, cache: redis.Redis, changes: list[Change]) -> list[Change]:
        unseen = []
        for first in range(0, len(changes), BULK):
            bulk = changes[first : first + BULK]
            pipeline = cache.pipeline(transaction=False)
            for change in bulk:
                pipeline.hget(f"{self.names.key_prefix}{change.product}", "version")
            held = cast("list[bytes | None]", pipeline.execute())
            wanted = [f"{change.order[0]}-{change.order[1]}".encode() for change in bulk]
            unseen += [change for change, one, other in zip(bulk, held, wanted, strict=True) if one != other]
        return unseen

    def wrong_hashes(self, cache: redis.Redis) -> int:
        """How many products are not at their newest, where each is a hash as the project's script writes it."""
        return sum(
            not is_shown(cast("Mapping[Any, Any]", cache.hgetall(f"{self.names.key_prefix}{product}")), change)
            for product, change in self.load.newest.items()
        )

    def all_written(self, cache: redis.Redis) -> Callable[[], bool]:
        """What tells whether every product is at its newest, where each is the record itself."""
        pending = sorted(self.load.newest.values(), key=lambda change: change.order)

        def look() -> bool:
            while pending:
                change = pending[-1]
                held = cast("bytes | None", cache.get(f"{self.names.key_prefix}{change.product}"))
                if json.loads(held or b"{}").get("sequence") != change.order[1]:
                    return False
                pending.pop()
            return True

        return look

    def wrong_values(self, cache: redis.Redis) -> int:
        """How many products are not at their newest, where each is the record itself."""
        wrong = 0
        for product, change in self.load.newest.items():
            held = cast("bytes | None", cache.get(f"{self.names.key_prefix}{product}"))
            record = json.loads(held or b"{}")
            wrong += (record.get("sequence"), record.get("data")) != (change.order[1], change.data)
        return wrong


def require(condition: object, what: str) -> None:
    """Raise BenchmarkError unless the condition holds."""
    if not condition:
        raise BenchmarkError(what)
