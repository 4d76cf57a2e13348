"""The window as a state machine: a topic, a network that loses, repeats and reorders, a cache, and rebalances.

Whatever happens, no committed offset passes an update that the cache does not hold and that is in no dead letter; and
once the network behaves, everything that can be confirmed is.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bridge.delivery.in_flight import InFlight, State
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from lastword.contract.record import Update
from lastword.contract.version import Version

PARTITIONS = (0, 1, 2)
BOUNDS = Bounds(updates=18, bytes=120, waiting=30)
CLOCKS = Clocks(floor_s=2.0, max_s=600.0, silence_max_s=60.0, task_life_s=600.0, probes=2)


@dataclass
class Record:
    offset: int
    updates: list[Update]
    size: int
    decodes: bool = True
    dead: set[str] = field(default_factory=set)


class Fate(Enum):
    LOST = auto()
    WORKED = auto()
    LATE = auto()
    TWICE = auto()


@dataclass
class DeadLetter:
    entry: InFlight
    record: Record


def update(product: str, number: int) -> Update:
    return Update(entity_id=product, version=Version(number, 0), data=b"{}")


records = st.tuples(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["a"] * 9 + ["b"] * 8 + ["c"] * 8 + ["never"]), st.integers(-9, 9)), max_size=2),
    st.sampled_from([1, 2, 3, 5, 8, 200]),
    st.integers(0, 9),
)


class WindowMachine(RuleBasedStateMachine):
    in_transit = Bundle("in_transit")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.window = Window(BOUNDS, CLOCKS)
        self.log: dict[int, list[Record]] = {p: [] for p in PARTITIONS}
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.aborted_until = dict.fromkeys(PARTITIONS, 0)
        self.cache: dict[str, Version] = {}
        self.letters: list[DeadLetter] = []
        self.published = 0

    @initialize()
    def start(self) -> None:
        self.assign(set(PARTITIONS))

    @rule(partitions=st.sets(st.sampled_from(PARTITIONS), min_size=1), assign=st.booleans(), luck=st.integers(0, 5))
    def rebalance(self, partitions: set[int], assign: bool, luck: int) -> None:  # noqa: FBT001 - drawn by Hypothesis
        if luck == 0 and assign:
            self.assign(partitions)
        elif luck == 0:
            self.window.revoke(partitions)

    def assign(self, partitions: set[int]) -> None:
        self.window.assign(partitions)
        for number in partitions:
            self.position[number] = self.committed[number]
            self.window.begin(number, self.position[number])
        self.letters = [letter for letter in self.letters if letter.entry.record.partition.number not in partitions]

    @rule(number=st.sampled_from(PARTITIONS), batch=st.lists(records, min_size=1, max_size=5))
    def publish_and_fetch(self, number: int, batch: list[tuple[int, list[tuple[str, int]], int, int]]) -> None:
        for gap, updates, size, luck in batch:
            offset = max(self.end(number), self.aborted_until[number] - 1) + gap
            self.published += 1
            newest = [update(product, 10 + self.published + older) for product, older in updates]
            self.log[number].append(Record(offset, newest, size, decodes=luck > 0))
        self.fetch(10)

    @rule(most=st.integers(1, 10))
    def fetch(self, most: int) -> None:
        for number in self.window.assigned - self.window.paused():
            if self.position[number] > self.end(number):
                self.window.reach(number, self.aborted_until[number])
            for record in [r for r in self.log[number] if r.offset >= self.position[number]][:most]:
                if not self.take_in(number, record):
                    break

    @rule(number=st.sampled_from(PARTITIONS), gap=st.integers(0, 12))
    def reach_the_end(self, number: int, gap: int) -> None:
        """A transaction is aborted, if there is a gap, and the partition is read to its end."""
        if self.position[number] > self.end(number):
            self.aborted_until[number] = max(self.position[number], self.aborted_until[number]) + gap
            self.window.reach(number, self.aborted_until[number])

    def take_in(self, number: int, record: Record) -> bool:
        distinct = len({u.entity_id for u in record.updates}) if record.decodes else 1
        before = self.in_flight(number)
        everywhere = [sum(x) for x in zip(*(self.in_flight(p) for p in self.window.assigned), strict=True)]
        if not self.window.admits(number, record.size, distinct):
            return False
        shares = len(self.window.assigned)
        if before[0]:
            assert before[0] + distinct <= BOUNDS.updates // shares
            assert before[1] + record.size <= BOUNDS.bytes // shares
            assert everywhere[0] + distinct <= BOUNDS.updates
            assert everywhere[1] + record.size <= BOUNDS.bytes
        if record.decodes:
            self.window.add(number, record.offset, record.updates, size=record.size, source=record)
        else:
            entry = self.window.add_dead_letter(number, record.offset, size=record.size, source=record)
            self.letters.append(DeadLetter(entry, record))
        self.position[number] = record.offset + 1
        return True

    def in_flight(self, number: int) -> tuple[int, int]:
        partition = self.window._partitions[number]
        unfinished = [r for r in partition.records if r.unfinished]
        assert partition.updates == sum(r.unfinished for r in unfinished)
        assert partition.waiting == len(partition.records) - len(unfinished)
        assert partition.waiting <= BOUNDS.waiting + BOUNDS.updates
        return partition.updates, sum(r.size for r in unfinished)

    @rule(target=in_transit, fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=8), certain=st.booleans())
    def send(self, fates: list[Fate], certain: bool) -> object:  # noqa: FBT001 - drawn by Hypothesis
        entries = self.window.unsent(len(fates))
        if certain:
            self.window.sent(entries, self.now)
        else:
            self.window.uncertain(entries, self.now)
        tasks = [(e.update, fate) for e, fate in zip(entries, fates, strict=False) if e.update]
        for task, fate in tasks:
            if fate in (Fate.WORKED, Fate.TWICE):
                self.work(task)
        return multiple(*(task for task, fate in tasks if fate in (Fate.LATE, Fate.TWICE)))

    @rule(task=consumes(in_transit))
    def work(self, task: Update) -> None:
        if task.entity_id != "never":
            self.cache[task.entity_id] = max(task.version, self.cache.get(task.entity_id, task.version))

    @rule(seconds=st.sampled_from([0.005, 0.1, 1.0, 2.0, 5.0, 70.0, 700.0]), most=st.integers(1, 20))
    def wait_and_look(self, seconds: float, most: int) -> None:
        self.now += seconds
        self.window.presume_lost(self.now)
        self.sweep(most)
        self.commit()

    def sweep(self, most: int) -> None:
        due = self.window.due(self.now, most)
        assert all(e.state in (State.UNSENT, State.SENT) for e in due)
        for product in {e.update.entity_id for e in due if e.update}:
            if product in self.cache:
                self.window.observe(product, self.cache[product], self.now)
        self.window.polled(due, self.now)

    @rule(pick=st.integers(0, 99))
    def fail_for_good(self, pick: int) -> None:
        entries = [e for e in self.window.in_flight() if e.sends]
        if entries and pick % 4 == 0:
            entry = entries[pick % len(entries)]
            source = entry.record.source
            assert isinstance(source, Record)
            assert self.window.give_up(entry)
            assert not self.window.give_up(entry)
            self.letters.append(DeadLetter(entry, source))

    @rule(pick=st.integers(0, 100))
    def deliver_letter(self, pick: int) -> None:
        if self.letters:
            self.bury(self.letters.pop(pick % len(self.letters)))

    def bury(self, letter: DeadLetter) -> None:
        self.window.finish(letter.entry)
        letter.record.dead.add(letter.entry.update.entity_id if letter.entry.update else "")
        self.window.finish(letter.entry)

    @rule(number=st.sampled_from(PARTITIONS), luck=st.integers(0, 5))
    def refuse_letters(self, number: int, luck: int) -> None:
        refused = luck == 0
        self.window.refuse_letters(number, refused=refused)
        if refused and number in self.window.assigned:
            assert number in self.window.paused()

    def commit(self) -> None:
        for point in self.window.commit_points():
            assert point.partition in self.window.assigned
            assert point.offset > self.committed[point.partition]
            self.committed[point.partition] = point.offset

    def visible(self, record: Record) -> bool:
        last = {u.entity_id: u for u in record.updates}.values()
        if not record.decodes:
            return "" in record.dead
        return all(self.held(u) or u.entity_id in record.dead for u in last)

    def held(self, one: Update) -> bool:
        return one.entity_id in self.cache and self.cache[one.entity_id] >= one.version

    @invariant()
    def no_committed_offset_passes_an_update_that_is_not_visible(self) -> None:
        for number, committed in self.committed.items():
            for record in self.log[number]:
                if record.offset < committed:
                    assert self.visible(record), (number, record)

    @invariant()
    def nothing_is_in_flight_of_a_partition_that_went_away(self) -> None:
        assert {e.record.partition.number for e in self.window.in_flight()} <= self.window.assigned
        assert not any(e.record.partition.gone for e in self.window.in_flight())
        assert self.window.updates == len(self.window.in_flight()) + len(self.letters_that_count())

    @invariant()
    def of_every_product_in_flight_the_newest_is_on_its_way(self) -> None:
        versions: dict[str, list[tuple[Version, State]]] = {}
        for entry in self.window.in_flight():
            assert entry.update is not None
            versions.setdefault(entry.update.entity_id, []).append((entry.update.version, entry.state))
        for found in versions.values():
            newest = max(version for version, _ in found)
            assert all(state is not State.OVERTAKEN for version, state in found if version == newest)

    def letters_that_count(self) -> list[DeadLetter]:
        return [x for x in self.letters if not x.entry.record.partition.gone]

    def teardown(self) -> None:
        """The network behaves from now on: all that can be confirmed is, with whatever never will be in flight."""
        for number in PARTITIONS:
            self.window.refuse_letters(number, refused=False)
        self.assign(set(PARTITIONS) - self.window.assigned)
        self.settle(step_s=30.0, most_s=1_800.0)
        for number in PARTITIONS:
            self.publish_and_fetch(number, [(1, [("a", 0)], 1, 1), (1, [("b", 0), ("c", 0)], 1, 1)])
        self.window.sent(self.window.unsent(100), self.now)  # and the broker is wiped
        self.settle(step_s=1.0, most_s=20.0 + 10 * self.window.timeout_s)

    def settle(self, *, step_s: float, most_s: float) -> None:
        end = self.now + most_s
        while not self.settled():
            assert self.now < end, "an update that can be confirmed is not, though the network loses nothing"
            self.fetch(10)
            self.window.presume_lost(self.now)
            entries = self.window.unsent(100)
            self.window.sent(entries, self.now)
            for entry in entries:
                assert entry.update is not None
                self.work(entry.update)
            self.now += 0.05
            self.sweep(100)
            self.now += step_s
            while self.letters:
                self.bury(self.letters.pop())
            self.commit()
            self.nothing_is_in_flight_of_a_partition_that_went_away()
            self.no_committed_offset_passes_an_update_that_is_not_visible()

    def settled(self) -> bool:
        stuck = {number: self.first_stuck(number) for number in PARTITIONS}
        in_flight = {e.update.entity_id for e in self.window.in_flight() if e.update}
        read = all(self.position[n] > self.end(n) for n in PARTITIONS if stuck[n] is None)
        return (
            in_flight <= {"never"}
            and not self.letters
            and read
            and all(self.committed[n] > self.end(n) for n in PARTITIONS if stuck[n] is None)
            and all(self.committed[n] >= self.aborted_until[n] for n in PARTITIONS if stuck[n] is None)
            and all(self.committed[n] <= at for n, at in stuck.items() if at is not None)
        )

    def end(self, number: int) -> int:
        return self.log[number][-1].offset if self.log[number] else -1

    def first_stuck(self, number: int) -> int | None:
        """The first record with an update that never succeeds and is in no letter, or was read again since it was."""
        entries = (e for e in self.window.in_flight() if e.update and e.update.entity_id == "never")
        in_flight = {(e.record.partition.number, e.record.offset) for e in entries}
        for record in self.log[number]:
            never = any(u.entity_id == "never" for u in record.updates) and record.decodes
            if never and ("never" not in record.dead or (number, record.offset) in in_flight):
                return record.offset
        return None


def test_window_machine() -> None:
    run_state_machine_as_test(WindowMachine, settings=settings(max_examples=150, stateful_step_count=60))
