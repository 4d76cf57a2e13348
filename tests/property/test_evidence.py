"""Evidence against an update as a state machine: workers killed by updates, or by an operator, with others in flight.

An update is given up only if three workers that ran it alone, each another send of this assignment, were killed doing
so; one that kills nobody only if somebody else killed all three. And whatever kills its worker is given up in the end.
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bridge.delivery.evidence import hopeless, is_marked, marked_sends
from bridge.delivery.in_flight import InFlight, State
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from lastword.cache.cache import Poll
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.record import Update
from lastword.contract.version import Version

CLOCKS = Clocks(floor_s=2.0, max_s=2.0, silence_max_s=2.0, task_life_s=600.0, probes=3)
WORKING_S = 30.0
MOST = 3  # updates: few, so that several copies of one are in flight at the same time
PROCESSES = 3
THREADS = 3


class Missed(Enum):
    """The part of Redis that does not answer a look."""

    NOTHING = auto()
    VERSIONS = auto()
    MARKS = auto()


@dataclass(frozen=True)
class Task:
    id: int
    product: str
    nonce: str
    marked: bool

    @property
    def kills(self) -> bool:
        return self.product.startswith("kills")


@dataclass
class Process:
    """A worker's process: what it runs, since when, and what it has written into its mark."""

    running: list[tuple[Task, float]] = field(default_factory=list)
    who: str = ""

    def admits(self, task: Task) -> bool:
        if task.marked:
            return not self.running
        return len(self.running) < THREADS and not any(other.marked for other, _ in self.running)


class EvidenceMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.window = Window(Bounds(), CLOCKS)
        self.log: list[str] = []
        self.queue: list[Task] = []
        self.processes = [Process() for _ in range(PROCESSES)]
        self.held: set[str] = set()
        self.marks: dict[int, dict[str, str]] = defaultdict(dict)
        self.killed: dict[int, dict[str, str]] = defaultdict(dict)
        """By task and nonce: who killed the process that ran it alone and marked."""
        self.given_up: set[int] = set()
        self.numbers = itertools.count()

    @initialize()
    def start(self) -> None:
        self.window.assign([0])

    @rule(product=st.sampled_from(["kills", "good", "good"]))
    def publish(self, product: str) -> None:
        if len(self.log) < MOST:
            self.log.append(f"{product}-{len(self.log)}")
            self.take_in(len(self.log) - 1)

    def take_in(self, offset: int) -> None:
        update = Update(entity_id=self.log[offset], version=Version(1, 0), data=b"{}")
        self.window.add(0, offset, [update], size=1, source=offset)

    @rule(luck=st.integers(0, 4))
    def rebalance(self, luck: int) -> None:
        """Another assignment reads everything again; tasks and marks of the one before are still there."""
        if luck:
            return
        self.window.assign([0])
        self.killed.clear()
        self.given_up.clear()
        for offset in range(len(self.log)):
            self.take_in(offset)

    def send(self, luck: int) -> None:
        self.window.presume_lost(self.now)
        for entry in self.window.unsent(MOST):
            entry.nonces.append(f"nonce-{next(self.numbers)}")
            assert entry.update
            task = Task(entry.record.offset, entry.update.entity_id, entry.nonces[-1], is_marked(entry.sends))
            self.window.sent([entry], self.now)
            if luck:
                self.queue.append(task)

    @rule()
    def begin_the_newest_in_every_idle_process(self) -> None:
        for process in range(PROCESSES):
            if not self.processes[process].running:
                self.begin(-1, process)

    @rule(pick=st.integers(0, 99), process=st.integers(0, PROCESSES - 1))
    def begin(self, pick: int, process: int) -> None:
        if self.queue:
            task, worker = self.queue[pick % len(self.queue)], self.processes[process]
            if worker.admits(task):
                self.queue.remove(task)
                worker.running.append((task, self.now))
                if task.marked:
                    worker.who = f"worker {process}, start {next(self.numbers)}"
                    self.marks[task.id][task.nonce] = worker.who

    @rule(process=st.integers(0, PROCESSES - 1), pick=st.integers(0, 9), luck=st.integers(0, 9))
    def work(self, process: int, pick: int, luck: int) -> None:
        self.finish(process, pick, servers_up=luck == 0)

    def finish(self, process: int, pick: int, *, servers_up: bool) -> None:
        running = self.processes[process].running
        if not running:
            return
        task, _ = running[pick % len(running)]
        if task.kills:
            self.kill(process, "itself")
            return
        del running[pick % len(running)]
        self.marks[task.id].pop(task.nonce, None)
        if servers_up:
            self.held.add(task.product)
        else:
            self.queue.insert(0, task)  # Celery's retry has the same arguments

    @rule(process=st.integers(0, PROCESSES - 1))
    def operator_kills(self, process: int) -> None:
        self.kill(process, "an operator")

    def kill(self, process: int, who: str) -> None:
        for task, _ in self.processes[process].running:
            if task.marked:
                assert len(self.processes[process].running) == 1
                self.killed[task.id][task.nonce] = who
        self.processes[process] = Process()

    @rule(luck=st.integers(0, 4))
    def redis_loses_the_marks(self, luck: int) -> None:
        if not luck:
            self.marks.clear()

    @rule(
        seconds=st.sampled_from([0.1, 1.0, 2.0, 2.0, 5.0, 20.0, 31.0]),
        missed=st.sampled_from([*Missed, Missed.NOTHING, Missed.NOTHING]),
        luck=st.integers(0, 4),
    )
    def turn(self, seconds: float, missed: Missed, luck: int) -> None:
        """The bridge's loop goes round: it looks and sends."""
        self.now += seconds
        for number, process in enumerate(self.processes):
            for _, since in list(process.running):
                if since + WORKING_S <= self.now and process is self.processes[number]:
                    self.finish(number, 0, servers_up=False)  # every call of a worker ends in time
        self.look(missed)
        self.send(luck)

    def look(self, missed: Missed) -> None:
        due = self.window.due(self.now, 100)
        asked = {str(e.record.offset): e for e in due if e.sends}
        seen = Poll(
            versions={},
            failures={},
            started={
                task_id: {n: who for n, who in self.marks[int(task_id)].items() if n in marked_sends(e)}
                for task_id, e in asked.items()
                if missed is not Missed.MARKS
            },
            missed=CacheUnavailableError("a part is down") if missed is not Missed.NOTHING else None,
        )
        for entry in due:
            if entry.update and entry.update.entity_id in self.held and missed is not Missed.VERSIONS:
                self.window.observe(entry.update.entity_id, entry.update.version, self.now)
        self.window.polled(due, self.now)
        for found in list(hopeless(asked, seen, self.now, WORKING_S)):
            if self.window.give_up(found.entry):
                self.judge(found.entry)

    def judge(self, entry: InFlight) -> None:
        assert entry.update
        assert entry.update.entity_id not in self.held
        killers = [who for nonce, who in self.killed[entry.record.offset].items() if nonce in entry.nonces]
        assert len(killers) >= 3
        if not entry.update.entity_id.startswith("kills"):
            assert killers.count("an operator") >= 3
        self.given_up.add(entry.record.offset)
        self.window.finish(entry)

    @invariant()
    def nothing_is_given_up_unseen(self) -> None:
        in_flight = {e.record.offset for e in self.window.in_flight() if e.state is not State.DONE}
        for offset, product in enumerate(self.log):
            assert offset in in_flight or offset in self.given_up or product in self.held

    def teardown(self) -> None:
        """Nobody else kills any more, and nothing is lost: what kills is given up, and all the rest is held."""
        end = self.now + 3_000.0
        while self.window.in_flight():
            assert self.now < end, "an update is neither held nor given up"
            for number, process in enumerate(self.processes):
                for task in [task for task in self.queue if process.admits(task)][:1]:
                    self.begin(self.queue.index(task), number)
                while self.processes[number].running:
                    self.finish(number, 0, servers_up=True)
            self.turn(1.0, Missed.NOTHING, 1)
            self.nothing_is_given_up_unseen()


def test_evidence_machine() -> None:
    run_state_machine_as_test(EvidenceMachine, settings=settings(max_examples=100, stateful_step_count=60))
