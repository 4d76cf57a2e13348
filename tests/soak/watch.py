"""What the processes that nobody kills use, and how much is under way: sampled, and judged in the end."""

import contextlib
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import psutil
from redis.exceptions import RedisError

from servers.zookeeper import ZooKeeper
from tests.soak.processes import BridgeProcess
from tests.soak.world import World

EVERY_S: Final = 2.0
LOG_TAIL_BYTES: Final = 4_096
MIB: Final = 2**20

ROOM: Final = {"memory (MiB)": 16.0, "file descriptors": 8.0, "threads": 4.0, "znodes": 10.0}
"""What a median may grow from the third to the last quarter of a run; a tenth of it comes besides.

Not from an earlier one: a worker process grows by 40 to 50 MiB over its first errors, for Celery formats tracebacks.
What is under way is not judged so: when Redis is wiped all of the topic is, and that grows. It must come to nothing.
"""


class Sample(NamedTuple):
    """One look: of whom, at what, when, and what was seen."""

    who: str
    what: str
    at_s: float
    value: float


class Growth(NamedTuple):
    """The medians of two quarters of a run, and whether the later one is no larger than it may be."""

    who: str
    what: str
    early: float
    late: float
    most: float

    @property
    def flat(self) -> bool:
        return self.late <= self.most


class Watch:
    """Takes samples when it is asked to and one is due. ``kept``: the processes that live as long as the run."""

    def __init__(self, world: World, kept: Iterable[str]) -> None:
        self.samples: list[Sample] = []
        self._world = world
        self._kept = list(kept)
        self._begun = time.monotonic()
        self._due = self._begun

    def look(self) -> None:
        """Take a sample if one is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY_S
        for who in self._kept:
            self._look_at(who)
        with contextlib.suppress(RedisError):
            self._note("broker", "tasks queued", self._world.flow.broker.llen("lastword"))
        for name, process in self._world.processes.items():
            if isinstance(process, BridgeProcess) and (updates := _in_flight(process)) is not None:
                self._note(name, "updates in flight", updates)
        self._look_at_znodes()

    def _note(self, who: str, what: str, value: float) -> None:
        self.samples.append(Sample(who, what, round(time.monotonic() - self._begun, 1), round(value, 1)))

    def _look_at(self, who: str) -> None:
        family = self._world.processes[who].family()
        try:
            memory = sum(process.memory_info().rss for process in family) / MIB
            files = sum(process.num_fds() for process in family)
            threads = sum(process.num_threads() for process in family)
        except psutil.NoSuchProcess:
            return  # it has just ended, which is told elsewhere
        self._note(who, "memory (MiB)", memory)
        self._note(who, "file descriptors", files)
        self._note(who, "threads", threads)

    def _look_at_znodes(self) -> None:
        for server in self._world.servers.values():
            if isinstance(server, ZooKeeper):
                with contextlib.suppress(OSError):
                    if found := re.search(r"zk_znode_count\t(\d+)", server._ask("mntr")):
                        self._note("ZooKeeper", "znodes", int(found[1]))
                        return


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """How what must not grow has grown, of each process that was watched."""
    found = []
    for who, what in sorted({(sample.who, sample.what) for sample in samples if sample.what in ROOM}):
        values = [sample.value for sample in samples if (sample.who, sample.what) == (who, what)]
        quarter = max(1, len(values) // 4)
        early, late = statistics.median(values[-2 * quarter : -quarter] or values), statistics.median(values[-quarter:])
        found.append(Growth(who, what, early, late, round(early * 1.1 + ROOM[what], 1)))
    return found


def highest(samples: Sequence[Sample], what: str) -> float:
    """The most that was seen of something."""
    return max((sample.value for sample in samples if sample.what == what), default=0)


def _in_flight(bridge: BridgeProcess) -> int | None:
    """What the bridge last said of itself."""
    try:
        with bridge.started.log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - LOG_TAIL_BYTES))
            said = re.findall(rb"(\d+) updates in flight", log.read())
    except OSError:
        return None
    return int(said[-1]) if said else None
