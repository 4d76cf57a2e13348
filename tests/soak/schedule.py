"""Which fault strikes when: the same seed gives the same schedule."""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

FIRST_AT_S: Final = 3.0
QUIET_S: Final = 10.0
"""At the end of a run no fault begins or lasts."""

LONG_S: Final = 180.0
"""A run of this length begins with what makes every process grow once, and is judged by whether it goes on growing."""

WARM_S: Final = 45.0

BETWEEN_S: Final = (0.5, 6.0)


class Kind(NamedTuple):
    """A fault that may strike each of ``targets`` for a while; of one ``group`` only one suffers at a time."""

    group: str
    what: str
    targets: Sequence[str]
    shortest_s: float
    longest_s: float


class Fault(NamedTuple):
    """A fault that is going to strike: what, whom, when, for how long."""

    at_s: float
    what: str
    target: str
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.what} {self.target}" + (f" for {self.lasts_s:.1f} s" if self.lasts_s else "")


def kinds(nodes: int) -> list[Kind]:
    """What may happen to a flow on one ZooKeeper and one Kafka, or on three of each.

    ``worker-1`` and ``bridge-1`` may be killed. The others are only paused, so that what they grow to can be seen.
    """
    zookeepers, kafkas = _members("zookeeper", nodes), _members("kafka", nodes)
    return [
        Kind("worker", "kill", ("worker-1",), 1, 6),
        Kind("worker", "stop", ("worker-1",), 1, 6),
        Kind("worker", "pause", ("worker-1", "worker-2", "worker-3"), 1, 9),
        Kind("bridge", "kill", ("bridge-1",), 1, 6),
        Kind("bridge", "stop", ("bridge-1",), 1, 6),
        Kind("bridge", "pause", ("bridge-1", "bridge-2"), 1, 9),
        Kind("zookeeper", "kill", zookeepers, 1, 6),
        Kind("zookeeper", "pause", zookeepers, 1, 6),
        Kind("zookeeper", "cut off", ("worker-2",), 1, 8),
        Kind("zookeeper", "drop the answers to", ("worker-2",), 1, 8),
        Kind("kafka", "kill", kafkas, 1, 6),
        Kind("kafka", "pause", kafkas, 1, 6),
        Kind("redis", "kill", ("redis",), 1, 4),
        Kind("redis", "pause", ("redis",), 1, 6),
        Kind("redis", "forget the scripts of", ("redis",), 0, 0),
        Kind("redis", "wipe", ("redis",), 0, 0),
        Kind("broker", "kill", ("broker",), 1, 4),
        Kind("broker", "pause", ("broker",), 1, 6),
        Kind("broker", "wipe", ("broker",), 0, 0),
        *([Kind("zookeeper", "take the quorum from", ("zookeeper",), 6, 8)] if nodes > 1 else []),
    ]


def plan(seed: int, length_s: float, nodes: int) -> list[Fault]:
    """The faults of a run, in the order in which they begin."""
    chance = random.Random(seed)
    offered = kinds(nodes)
    free_at_s: dict[str, float] = {}
    warming = length_s >= LONG_S
    faults = _warm_up(nodes) if warming else []
    at_s = WARM_S if warming else FIRST_AT_S
    while at_s < length_s - QUIET_S:
        kind = chance.choice(offered)
        target, lasts_s = chance.choice(kind.targets), round(chance.uniform(kind.shortest_s, kind.longest_s), 1)
        over_s = at_s + lasts_s
        if free_at_s.get(kind.group, 0) <= at_s and over_s <= length_s - QUIET_S:
            faults.append(Fault(round(at_s, 1), kind.what, target, lasts_s))
            free_at_s[kind.group] = over_s + 1
        at_s += chance.uniform(*BETWEEN_S)
    return faults


def _warm_up(nodes: int) -> list[Fault]:
    """What makes a process grow once, for its first errors, so that whether it goes on growing can be seen."""
    what = "kill" if nodes == 1 else "take the quorum from"
    outages = [Fault(at_s, what, "zookeeper", 5.0) for at_s in (3.0, 13.0, 23.0)]
    return [*outages, Fault(33.0, "kill", "redis", 4.0), Fault(40.0, "kill", "broker", 2.0)]


def _members(name: str, nodes: int) -> list[str]:
    return [name] if nodes == 1 else [f"{name}-{number}" for number in range(1, nodes + 1)]
