"""The flow of a test whose history is recorded, and checked in the end."""

import pprint
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import redis
from confluent_kafka import KafkaError, Message, TopicPartition

from lastword.contract.version import Version
from lastword.kafka import coordinator
from servers import Reachable, ReachableRedis
from tests.flow import PARTITIONS, Flow, offset_of
from tests.history import checker, kafka_log, recorder, zookeeper_log
from tests.history.client_log import read_attempts
from tests.history.events import Attempt, History, Published
from tests.history.harvest import Harvest
from tests.history.report import Report
from tests.history.znodes import Znodes, look
from tests.lock_helpers import direct_client
from tests.waiting import DEADLINE_S
from tests.worker_helpers import SESSION_TIMEOUT_S

SESSIONS_END_S: Final = 60.0
"""So much later than its timeout the session of a killed worker is over: two ticks, and time for a busy machine."""


class RecordedFlow(Flow):
    """A flow whose workers and bridges are recorded: whatever runs with ``environment``.

    A test says beforehand what is not as usual: ``dead``, products whose newest update may be a dead letter; ``empty``,
    that nothing is written at all. One that expects violations calls ``check`` itself.
    """

    def __init__(
        self,
        servers: tuple[Reachable, ReachableRedis, Reachable],
        directory: Path,
        *,
        patches: Sequence[str] = (),
        **names: str,
    ) -> None:
        super().__init__(servers, directory, **names)
        self.root = names["root"]
        self.dead: set[str] = set()
        self.empty = False
        self.report: Report | None = None
        self._zookeeper = servers[2]
        self._log = directory / "writes.jsonl"
        self.environment |= recorder.environment(self._log, patches)
        self.environment["LASTWORD_SESSION_TIMEOUT_S"] = str(SESSION_TIMEOUT_S)  # that of a killed worker is waited for
        self._commits_before = kafka_log.ends_of(self._kafka, kafka_log.OFFSETS)
        self._harvest = Harvest(lambda: self.cache, self.prefix, lambda: list(self.newest))

    @property
    def _kafka(self) -> str:
        return self.environment["KAFKA_BOOTSTRAP_SERVERS"]

    def harvest(self) -> None:
        """Fetch what Redis has recorded; call it before Redis is made to forget something, while it still answers."""
        self._harvest.now()

    def read_from(self, cache: redis.Redis | redis.RedisCluster) -> None:
        with self._harvest.paused():  # it has its answers from the connections that are closed here
            super().read_from(cache)

    def committed(self) -> dict[int, int]:
        """The committed offsets; whether what they pass was visible when they were committed, the checker says."""
        places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        found = coordinator.committed(self.reader, places, timeout_s=60)
        return {place.partition: max(0, place.offset) for place in found}

    def note_hopeless(self, product: str, version: tuple[int, int]) -> Callable[[KafkaError | None, Message], None]:
        """What a producer is to call when Kafka has an update that can only become a dead letter."""
        self.dead.add(product)

        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            self.delivered[message.partition() or 0].append((offset_of(message), product, version))

        return delivered

    def wait_until_all_is_committed(self, *, deadline_s: float = DEADLINE_S) -> None:
        """And until no lock is held though the workers still run: with its session, any lock would go away."""
        super().wait_until_all_is_committed(deadline_s=deadline_s)
        left = self.locks_left()
        assert not left, f"everything is at rest, and these locks are still held: {left}"

    def locks_left(self) -> list[str]:
        """The locks that are held once the sessions of killed workers must have ended; call it when all is at rest."""
        return [path for path in self._wait_for_ephemeral("locks").ephemeral if path.startswith(f"{self.root}/locks/")]

    def check(self) -> Report:
        """Check the history up to now. It should be at rest: nothing in flight, the workers gone.

        Locks and guards of killed workers are waited for until their sessions must have ended.
        """
        history = self.history()
        begun = time.perf_counter()
        self.report = checker.check(history, dead=self.dead, empty=self.empty)
        took_ms = round((time.perf_counter() - begun) * 1_000)
        self.report = replace(self.report, counts={**self.report.counts, "ms of checking": took_ms})
        (self.directory / "report.txt").write_text(f"{self.report}\n", encoding="utf-8")
        if self.report.violations:
            (self.directory / "history.txt").write_text(pprint.pformat(history, width=200), encoding="utf-8")
        return self.report

    def attempts(self) -> list[Attempt]:
        """Every write that a worker has begun so far."""
        return read_attempts(self._log)

    def history(self) -> History:
        """All that every party has written down so far."""
        attempts = self.attempts()
        self._harvest.now({attempt.product for attempt in attempts})
        left, znodes = self._left_behind()
        transactions = zookeeper_log.read_log(transaction_logs(self._zookeeper))
        return History(
            root=self.root,
            published=[
                Published(product, Version(*version), partition, offset)
                for partition, delivered in self.delivered.items()
                for offset, product, version in delivered
            ],
            attempts=attempts,
            lives=self._harvest.lives(),
            intervals=zookeeper_log.lock_intervals(transactions, self.root),
            gaps=zookeeper_log.gaps(transactions),
            commits=kafka_log.read_commits(self._kafka, self.topic, self.group, self._commits_before),
            letters=kafka_log.read_letters(self._kafka, f"{self.topic}-dlt"),
            changes_us=self._harvest.changes_us,
            blind=self._harvest.blind,
            held={product: Version(*version) for product, version in self.held().items()},
            damaged=self._damaged(),
            left_behind=left,
            znodes=znodes,
        )

    def _damaged(self) -> list[str]:
        """What the cache holds under a version, where that is not what was published with it."""
        damaged = []
        for product, newest in list(self.newest.items()):
            key = f"{self.prefix}{product}"
            version, data, deleted = cast("list[bytes | None]", self.cache.hmget(key, "version", "data", "deleted"))
            wanted = self.contents[product, newest]
            as_published = (data, deleted) == (wanted, b"1" if wanted is None else None)
            if version == str(Version(*newest)).encode() and not as_published:
                damaged.append(f"{product} at {newest} holds {data!r}, deleted {deleted!r}; published was {wanted!r}")
        return damaged

    def close(self) -> None:
        self._harvest.close()
        super().close()

    def _left_behind(self) -> tuple[list[str], int]:
        """The znodes that should not be there, and how many there are; waits for the sessions of the dead."""
        found = self._wait_for_ephemeral("")
        return [*found.ephemeral, *found.foreign], found.total

    def _wait_for_ephemeral(self, under: str) -> Znodes:
        """What there is when nothing ephemeral is left under a child of the root, or when that has been waited for."""
        end = time.monotonic() + float(self.environment["LASTWORD_SESSION_TIMEOUT_S"]) + SESSIONS_END_S
        with direct_client(self.environment["ZOOKEEPER_HOSTS"]) as client:
            while True:
                found = look(client, self.root)
                held = any(path.startswith(f"{self.root}/{under}") for path in found.ephemeral)
                if not held or time.monotonic() > end:
                    return found
                time.sleep(0.05)


def transaction_logs(server: Reachable) -> list[Path]:
    """The data directory of a ZooKeeper that is our child process, or of each member of an ensemble."""
    return [member.directory / "data" for member in getattr(server, "members", [server])]
