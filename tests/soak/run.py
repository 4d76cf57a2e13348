"""One run: load, faults by the schedule, rest, and the checker's report."""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.faults.load import Load
from tests.history.report import Report
from tests.soak.schedule import LONG_S, Fault, plan
from tests.soak.watch import Growth, Sample, Watch, growths, highest
from tests.soak.world import World, open_world

KEPT: Final = ("bridge-2", "worker-2", "worker-3")
PRODUCTS = 200
REST_S: Final = 300.0
TICK_S: Final = 0.05

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of a run. ``trouble``: what is wrong with it beside violations and growth."""

    seed: int
    length_s: float
    nodes: int
    faults: list[Fault]
    report: Report
    samples: list[Sample]
    fresh_after_s: float
    """From the end of the last fault and the last change until all products were at their newest."""
    trouble: list[str] = field(default_factory=list)

    @property
    def growths(self) -> list[Growth]:
        """How the processes that nobody killed have grown."""
        return growths(self.samples)

    @property
    def flat(self) -> bool:
        """Whether none of them has grown, as far as a run of this length can tell."""
        seen = {growth.who for growth in self.growths}
        return self.length_s < LONG_S or (seen.issuperset(KEPT) and all(growth.flat for growth in self.growths))

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return not self.report.violations and not self.trouble and self.flat

    def write(self, file: Path) -> None:
        """Write all of it as JSON."""
        told = {
            "passed": self.passed,
            "seed": self.seed,
            "length_s": self.length_s,
            "nodes": self.nodes,
            "machine": {"processors": psutil.cpu_count(), "system": platform.platform()},
            "faults": [fault._asdict() for fault in self.faults],
            "counts": self.report.counts,
            "violations": [[rule.name, evidence] for rule, evidence in self.report.violations],
            "trouble": self.trouble,
            "fresh_after_s": self.fresh_after_s,
            "growths": [growth._asdict() | {"flat": growth.flat} for growth in self.growths],
            "most_znodes": highest(self.samples, "znodes"),
            "most_tasks_queued": highest(self.samples, "tasks queued"),
            "most_updates_in_flight": highest(self.samples, "updates in flight"),
            "samples": self.samples,
        }
        file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def soak(directory: Path, *, seed: int, length_s: float, nodes: int, per_s: int, say: Say) -> Outcome:
    """Run for ``length_s`` with ``per_s`` changes a second, and until everything is at rest; what came of it."""
    faults = plan(seed, length_s, nodes)
    with open_world(directory, nodes=nodes) as world:
        watch = Watch(world, KEPT)
        with Load(world.flow, products=PRODUCTS, per_s=per_s) as load:
            trouble = _strike(world, faults, length_s, watch, say)
            load.stop()
        say("the load is over; waiting until everything is at rest")
        begun = time.monotonic()
        trouble += _rest(world, watch)
        fresh_after_s = round(time.monotonic() - begun, 1)
        trouble += [f"all is at rest, and {path} is still held" for path in world.flow.locks_left()]
        for process in world.processes.values():
            process.stop()
        say("checking")
        return Outcome(seed, length_s, nodes, faults, world.flow.check(), watch.samples, fresh_after_s, trouble)


def _strike(world: World, faults: list[Fault], length_s: float, watch: Watch, say: Say) -> list[str]:
    """Begin and end each fault when it is time; which processes ended though nobody had killed them."""
    moments = [(fault.at_s, world.begin, fault) for fault in faults]
    moments += [(fault.at_s + fault.lasts_s, world.end, fault) for fault in faults if fault.lasts_s]
    moments.sort(key=lambda moment: moment[0])
    trouble = []
    begun = time.monotonic()
    while (now_s := time.monotonic() - begun) < length_s or moments:
        while moments and moments[0][0] <= now_s:
            _, act, fault = moments.pop(0)
            if act == world.begin:
                say(str(fault))
            act(fault)
        watch.look()
        trouble += _ended_by_themselves(world)
        time.sleep(TICK_S)
    return trouble


def _rest(world: World, watch: Watch) -> list[str]:
    """Wait until all products are at their newest and all is committed; what is not."""
    flow = world.flow
    ends = {number: max((at + 1 for at, _, _ in records), default=0) for number, records in flow.delivered.items()}
    deadline = time.monotonic() + REST_S
    while flow.held() != flow.newest or flow.committed() != ends or flow.broker.llen("lastword"):
        if time.monotonic() > deadline:
            queued = flow.broker.llen("lastword")
            told = f"{flow.committed()} of {ends}, {queued} tasks queued"
            return [f"after {REST_S:g} s not everything is fresh, committed and worked off: {told}"]
        watch.look()
        if ended := _ended_by_themselves(world):
            return ended
        time.sleep(TICK_S)
    return []


def _ended_by_themselves(world: World) -> list[str]:
    ended = []
    for name, process in world.processes.items():
        if process.wanted and process.started.exit_code is not None:
            ended.append(f"{name} ended by itself with exit code {process.started.exit_code}")
            process.kill()
            process.start()
    return ended
