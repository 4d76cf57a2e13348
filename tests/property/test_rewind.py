"""Redis loses writes at any moment, topics are made anew, bridges come, go and linger: markers stay true, all is fresh.

Two primaries, each a data set that may be set back to any earlier state of itself; the real window, checkpoints and
seals of two bridges; a consumer group that takes commits from the owner of a partition alone.
"""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.checkpoints import SEAL_EVERY_S, Checkpoints
from bridge.delivery.back_off import BackOff
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.rewind import Marker, Standing
from bridge.delivery.window import Window
from bridge.partition import Partition, Partitions
from bridge.records import Records
from bridge.topic.watch import TopicWatch
from lastword.cache.cache import Cache, Poll
from lastword.cache.seal import Seal, Stamps
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.kafka.client import NotAnsweredError
from lastword.kafka.identity import Identity
from lastword.redis.pipeline import Command

PARTITIONS = (0, 1)
PRODUCTS = "abcd"
PRIMARIES = (0, 1)


def primary_of(product: str) -> int:
    return PRODUCTS.index(product) % len(PRIMARIES)


@dataclass
class DataSet:
    """What one primary holds."""

    versions: dict[str, Version] = field(default_factory=dict)
    strings: dict[str, int] = field(default_factory=dict)
    markers: dict[str, bytes] = field(default_factory=dict)

    def run(self, command: Command) -> object:
        match command:
            case ("HMGET", _, *fields):
                return [self.markers.get(str(name)) for name in fields]
            case ("SCRIPT LOAD", _):
                return b"sha"
            case ("EVALSHA", _, 2, str(stamp), _, int(least), int(number), _, begin, *pairs):
                if least > 0 and self.strings.get(stamp, 0) < least:
                    return 0
                self.strings[stamp] = number
                written = [str(part) for part in pairs]
                for name, marker in zip(written[::2], written[1::2], strict=True):
                    self.note(name, marker, begins=begin == "1")
                return 1
        raise AssertionError(command)

    def note(self, name: str, marker: str, *, begins: bool) -> None:
        held, new = Marker.parse(self.markers.get(name)), Marker.parse(marker.encode())
        assert new is not None
        if begins or held is None or (held.identity == new.identity and held.offset <= new.offset):
            self.markers[name] = marker.encode()


class Answer(Enum):
    GIVEN = auto()
    NONE = auto()
    LOST = auto()


@dataclass
class Primary:
    data: DataSet = field(default_factory=DataSet)
    history: list[DataSet] = field(default_factory=lambda: [DataSet()])
    down: bool = False
    answers: list[Answer] = field(default_factory=list)

    def save(self) -> None:
        self.history.append(copy.deepcopy(self.data))

    def lose(self, pick: int) -> None:
        del self.history[pick % len(self.history) + 1 :]
        self.data = copy.deepcopy(self.history[-1])

    def ask(self, tag: str, products: Iterable[str], seal: Seal) -> dict[str, Version] | None:
        answer = Answer.NONE if self.down else self.answers.pop() if self.answers else Answer.GIVEN
        commands = seal.commands([tag])
        found = {product: self.data.versions[product] for product in products if product in self.data.versions}
        got = [] if answer is Answer.NONE else [self.data.run(command) for command in commands]
        if answer is not Answer.GIVEN:
            got = [RedisConnectionError("no answer")] * len(commands)
        return None if seal.judge([tag], got) else found


class SimulatedRedis:
    def __init__(self) -> None:
        self.primaries = [Primary() for _ in PRIMARIES]
        self.losses: list[tuple[int, int, int]] = []

    def poll(
        self, entity_ids: Sequence[str], task_ids: Sequence[str], sends: object = None, *, seal: Seal | None = None
    ) -> Poll:
        assert seal is not None
        assert (list(task_ids), sends) == ([], None)
        self.losses = [(after - 1, number, pick) for after, number, pick in self.losses]
        for after, number, pick in self.losses:
            if after < 0:
                self.primaries[number].lose(pick)
        self.losses = [loss for loss in self.losses if loss[0] >= 0]
        versions: dict[str, Version] = {}
        silent = 0
        for number, primary in enumerate(self.primaries):
            found = primary.ask(f"{{{number}}}", (p for p in entity_ids if primary_of(p) == number), seal)
            silent += found is None
            versions |= found or {}
        missed = CacheUnavailableError("no answer") if silent else None
        if missed and silent == len(self.primaries):
            raise missed
        return Poll(versions=versions, failures={}, started={}, missed=missed)

    def write(self, update: Update) -> None:
        primary = self.primaries[primary_of(update.entity_id)]
        if not primary.down:
            held = primary.data.versions
            held[update.entity_id] = max(update.version, held.get(update.entity_id, update.version))

    def holds(self, update: Update) -> bool:
        held = self.primaries[primary_of(update.entity_id)].data.versions.get(update.entity_id)
        return held is not None and held >= update.version


@dataclass
class Group:
    """The topic, and what Kafka knows of the group: owners, committed offsets, their metadata."""

    log: dict[int, list[Update]]
    owner: dict[int, "SimulatedBridge"] = field(default_factory=dict)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    silent: int = 0
    topic: str = "0"


class SimulatedBridge:
    """A bridge's loop, and its consumer."""

    def __init__(self, group: Group, cache: SimulatedRedis) -> None:
        self.group = group
        self.cache = cache
        self.now = 0.0
        self.window = Window(Bounds(1_000, 1_000, 1_000), Clocks())
        stamps = Stamps("product:")
        self.partitions: Partitions = {}
        self.checkpoints = Checkpoints(
            self.partitions,
            cast("Records", self),
            self.window,
            cast("Cache", cache),
            stamps=stamps,
            back_off=BackOff(max_s=0.0),
            topic=cast("TopicWatch", self),
        )
        self.missing = False
        self.known = group.topic
        self.attentive = True
        self.position: dict[int, int] = {}
        self.unsettled: set[int] = set()
        self.stored: dict[int, tuple[int, str]] = {}

    # What TopicWatch does.

    def id(self) -> str:
        self.answer()
        self.known = self.group.topic
        return self.known

    def is_another(self, now: float) -> bool:
        del now
        return self.attentive and self.known != self.group.topic

    # What Records does.

    def settled(self) -> frozenset[int]:
        """All but those of which nothing has been delivered yet."""
        return self.window.assigned - self.unsettled

    def overdue(self) -> frozenset[int]:
        return frozenset()

    def refresh(self) -> None:
        self.answer()

    def broken(self) -> dict[int, int]:
        """librdkafka begins anew by itself where it finds nothing any more; a bridge need not have noticed yet."""
        read = {number: self.position[number] for number in self.partitions}
        gone = {n: at for n, at in read.items() if self.attentive and at > len(self.group.log[n])}
        self.position.update(dict.fromkeys(gone, 0))
        return gone

    def name(self, number: int) -> str:
        return f"topic:{number}:group"

    def standing(self, numbers: Iterable[int]) -> dict[int, Standing]:
        self.answer()
        return {
            number: Standing(offset, identity, 0, len(self.group.log[number]))
            for number in numbers
            for offset, identity in [self.group.committed.get(number, (None, ""))]
        }

    def commit(self, number: int, offset: int, metadata: str) -> None:
        if Identity.parse(metadata).topic == self.group.topic:
            for update in self.group.log[number][:offset]:
                assert self.cache.holds(update), (number, offset, update)
        self.stored[number] = offset, metadata

    def go_back(self, number: int, offset: int, metadata: str) -> None:
        self.stored[number] = offset, metadata
        self.answer()
        if self.group.owner.get(number) is self:
            self.group.committed[number] = offset, metadata
        self.answer()
        self.read_from(number, offset)

    def read_from(self, number: int, offset: int) -> None:
        self.position[number] = offset

    def answer(self) -> None:
        if self.group.silent:
            self.group.silent -= 1
            raise NotAnsweredError("no answer")

    def auto_commit(self) -> None:
        for number, stored in self.stored.items():
            committed = self.group.committed.get(number, (-1, ""))[0]
            if self.group.owner.get(number) is self and stored[0] > committed:
                self.group.committed[number] = stored

    # What the loop does.

    def assigned(self, number: int) -> None:
        self.group.owner[number] = self
        self.position[number] = self.group.committed.get(number, (0, ""))[0]
        self.window.assign([number])
        self.partitions[number] = Partition(number)

    def gone(self, number: int) -> None:
        self.auto_commit()
        self.unsettled.discard(number)
        self.window.revoke([number])
        self.partitions.pop(number, None)
        self.stored.pop(number, None)

    def turn(self, most: int) -> None:
        self.checkpoints.check_topic(self.now)
        self.checkpoints.check()
        for number in self.window.assigned - self.checkpoints.unchecked:
            begin = self.position[number]
            for offset, update in list(enumerate(self.group.log[number]))[begin : begin + most]:
                self.window.add(number, offset, [update], size=1, source=None)
                self.position[number] = offset + 1

    def send(self, most: int) -> list[Update]:
        self.window.presume_lost(self.now)
        entries = self.window.unsent(most)
        self.window.sent(entries, self.now)
        return [entry.update for entry in entries if entry.update]

    def sweep(self) -> None:
        self.now += 1.0
        due = self.window.due(self.now, 1_000)
        if self.checkpoints.unchecked == self.window.assigned:
            return
        seal = self.checkpoints.seal()
        try:
            look = self.cache.poll([e.update.entity_id for e in due if e.update], [], seal=seal)
        except CacheUnavailableError:
            return
        if seal.lost:
            self.checkpoints.rewind(seal.lost)
            return
        # In this order, as the loop has it: what is confirmed only now was not noted with the seal.
        for product, held in look.versions.items():
            self.window.observe(product, held, self.now)
        self.window.polled(due, self.now)
        self.checkpoints.commit(seal)


numbers = st.sampled_from(PARTITIONS)
primaries = st.sampled_from(PRIMARIES)
products = st.sampled_from(PRODUCTS)
which = st.sampled_from([0, 1])
picks = st.integers(0, 30)


class RewindMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache = SimulatedRedis()
        self.group = Group({number: [] for number in PARTITIONS})
        self.bridges = [SimulatedBridge(self.group, self.cache) for _ in range(2)]
        self.transit: list[Update] = []
        self.published = 0

    @initialize()
    def start(self) -> None:
        for number in PARTITIONS:
            self.bridges[0].assigned(number)

    @rule(number=numbers, changes=st.lists(st.tuples(products, st.integers(-6, 6)), max_size=4))
    def publish(self, number: int, changes: list[tuple[str, int]]) -> None:
        for product, older in changes:
            self.published += 1
            version = Version(10 + self.published + older, 0)
            self.group.log[number].append(Update(entity_id=product, version=version, data=b"{}"))

    @rule(number=numbers, change=st.lists(products, max_size=2), again=st.booleans())
    def flow(self, number: int, change: list[str], again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """What mostly happens: changes are taken in, sent, worked and seen."""
        at = self.bridges.index(self.group.owner[number])
        self.publish(number, [(product, 0) for product in change])
        self.turn(at, 9)
        self.sweep(at, again=False)
        self.send(at, 9, late=False)
        self.sweep(at, again)

    @rule(at=which, most=st.integers(1, 9))
    def turn(self, at: int, most: int) -> None:
        self.bridges[at].turn(most)

    @rule(at=which, most=st.integers(1, 9), late=st.booleans())
    def send(self, at: int, most: int, late: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        sent = self.bridges[at].send(most)
        self.transit += sent
        if not late:
            for update in sent:
                self.cache.write(update)

    @rule(pick=picks)
    def work(self, pick: int) -> None:
        if self.transit:
            self.cache.write(self.transit.pop(pick % len(self.transit)))

    @rule(at=which, again=st.booleans())
    def sweep(self, at: int, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.bridges[at].sweep()
        if again:
            self.bridges[at].sweep()

    @rule(at=which)
    def commit(self, at: int) -> None:
        self.bridges[at].auto_commit()

    @rule(primary=primaries)
    def save(self, primary: int) -> None:
        self.cache.primaries[primary].save()

    @rule(primary=primaries, pick=picks, after=st.integers(0, 3), number=numbers, change=st.lists(products, max_size=2))
    def lose(self, primary: int, pick: int, after: int, number: int, change: list[str]) -> None:
        self.flow(number, change, again=False)
        if after:
            self.cache.losses.append((after - 1, primary, pick))
        else:
            self.cache.primaries[primary].lose(pick)

    @rule(
        primary=primaries,
        down=st.sampled_from([False] * 4 + [True]),
        answers=st.lists(st.sampled_from(Answer), max_size=3),
    )
    def disturb(self, primary: int, down: bool, answers: list[Answer]) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.cache.primaries[primary].down = down
        self.cache.primaries[primary].answers = answers

    @rule(calls=st.integers(0, 3))
    def kafka_is_silent(self, calls: int) -> None:
        self.group.silent = calls

    @rule(forgets=st.booleans(), number=numbers, change=st.lists(products, max_size=9))
    def make_anew(self, forgets: bool, number: int, change: list[str]) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Kafka mostly forgets what was committed of the topic; a bridge may have committed it once more."""
        self.group.topic = str(int(self.group.topic) + 1)
        self.group.log = {number: [] for number in PARTITIONS}
        if forgets:
            self.group.committed.clear()
        self.publish(number, [(product, 0) for product in change])

    @rule(at=which, attentive=st.booleans())
    def sleep(self, at: int, attentive: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.bridges[at].attentive = attentive

    @rule(number=numbers, noticed=st.booleans(), settled=st.booleans())
    def move(self, number: int, noticed: bool, settled: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """To the other bridge; the one that does not notice goes on with it, in vain."""
        old = self.group.owner[number]
        new = next(bridge for bridge in self.bridges if bridge is not old)
        if noticed:
            old.gone(number)
        if number in new.window.assigned:
            new.gone(number)
        new.assigned(number)
        if not settled:
            new.unsettled.add(number)

    @rule(at=which)
    def find_its_places(self, at: int) -> None:
        self.bridges[at].unsettled.clear()

    @rule(at=which)
    def kill(self, at: int) -> None:
        old = self.bridges[at]
        self.bridges[at] = type(old)(self.group, self.cache)
        for number, owner in list(self.group.owner.items()):
            if owner is old:
                self.bridges[at].assigned(number)

    @invariant()
    def markers_are_true(self) -> None:
        """In whatever state a data set is, it holds all that its own markers say it does."""
        for number, primary in enumerate(self.cache.primaries):
            for name, stored in primary.data.markers.items():
                marker = Marker.parse(stored)
                assert marker is not None
                if Identity.parse(marker.identity).topic != self.group.topic:
                    continue
                for update in self.group.log[int(name.split(":")[1])][: marker.offset]:
                    assert primary_of(update.entity_id) != number or self.cache.holds(update), (name, marker, update)

    def teardown(self) -> None:
        for primary in self.cache.primaries:
            primary.down, primary.answers = False, []
        self.cache.losses, self.group.silent = [], 0
        for bridge in self.bridges:
            bridge.attentive = True
            bridge.unsettled.clear()
            for number in bridge.window.assigned:
                if self.group.owner[number] is not bridge:
                    bridge.gone(number)
        for _ in range(200):
            for bridge in self.bridges:
                bridge.turn(100)
                bridge.now += 30.0
                for update in bridge.send(100):
                    self.cache.write(update)
                bridge.sweep()
                bridge.auto_commit()
            self.markers_are_true()
            if self.settled():
                return
        raise AssertionError("it does not come to rest, though nothing is lost any more")

    def settled(self) -> bool:
        fresh = all(self.cache.holds(update) for log in self.group.log.values() for update in log)
        ends: Mapping[int, int] = {number: len(log) for number, log in self.group.log.items() if log}
        return fresh and all(self.group.committed.get(n, (0, ""))[0] == end for n, end in ends.items())


def test_rewind_machine() -> None:
    run_state_machine_as_test(RewindMachine, settings=settings(max_examples=80, stateful_step_count=50))


class OnlyTheStamp(SimulatedRedis):
    """A Redis in which no stamp is missing: a bridge then believes what it read from a data set that is gone."""

    def poll(self, *args: Any, **kwargs: Any) -> Poll:  # noqa: ANN401 - as above
        for primary in self.primaries:
            for stamp in {key for one in self.primaries for key in one.data.strings}:
                primary.data.strings[stamp] = 2**52
        return super().poll(*args, **kwargs)


class Unstamped(RewindMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache = OnlyTheStamp()
        self.bridges = [SimulatedBridge(self.group, self.cache) for _ in range(2)]


class Nameless(SimulatedBridge):
    """A bridge to which Kafka does not tell its topic's id."""

    def id(self) -> str:
        self.answer()
        return ""


class WithoutIds(RewindMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bridges = [Nameless(self.group, self.cache) for _ in range(2)]


@pytest.mark.parametrize("machine", [Unstamped, WithoutIds])
def test_control_without_stamps_or_ids_the_machine_finds_what_is_lost(machine: type[RewindMachine]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=300,
                stateful_step_count=50,
                database=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,
            ),
        )


def test_from_an_offset_that_somebody_has_set_redis_is_watched_though_nothing_more_comes() -> None:
    cache = SimulatedRedis()
    updates = [Update(entity_id=product, version=Version(10, 0), data=b"{}") for product in PRODUCTS]
    for update in updates:
        cache.write(update)
    group = Group({0: updates}, committed={0: (len(updates), "")})
    bridge = SimulatedBridge(group, cache)
    bridge.assigned(0)
    bridge.turn(9)
    bridge.sweep()
    assert bridge.checkpoints.unchecked == frozenset()
    assert group.committed[0][0] == len(updates)

    assert bridge.checkpoints.due(time.monotonic() + SEAL_EVERY_S)
    for primary in cache.primaries:
        primary.lose(0)
    bridge.sweep()
    bridge.turn(9)
    assert [entry.update for entry in bridge.window.in_flight()] == updates


def test_a_partition_is_read_from_where_it_was_checked_though_its_commit_changed_since_the_assignment() -> None:
    cache = SimulatedRedis()
    updates = [Update(entity_id=product, version=Version(10, 0), data=b"{}") for product in PRODUCTS]
    group = Group({0: updates})
    first, second = SimulatedBridge(group, cache), SimulatedBridge(group, cache)
    first.assigned(0)
    first.turn(9)
    for _ in range(4):
        first.sweep()
        for update in first.send(9):
            cache.write(update)
    first.auto_commit()
    assert group.committed[0][0] == len(updates)

    for primary in cache.primaries:
        primary.lose(0)
    first.sweep()
    second.assigned(0)
    group.owner[0] = first  # its commit was under way when it gave the partition up, and is taken now
    first.checkpoints.check()
    group.owner[0] = second
    assert group.committed[0][0] == 0
    second.turn(9)
    assert [entry.update for entry in second.window.in_flight()] == updates


def test_a_new_topic_that_a_new_partition_tells_of_is_read_in_all_partitions() -> None:
    """The id is asked for before a partition is read; who looks for another one only now and then misses it."""
    cache = SimulatedRedis()
    update = Update(entity_id="a", version=Version(10, 0), data=b"{}")
    group = Group({0: [update], 1: []})
    bridge = SimulatedBridge(group, cache)
    bridge.assigned(0)
    bridge.turn(9)
    bridge.attentive = False
    group.topic, group.log[0] = "another", [Update(entity_id="b", version=Version(11, 0), data=b"{}")]
    group.committed.clear()
    bridge.assigned(1)
    bridge.turn(9)
    bridge.turn(9)
    assert [entry.update for entry in bridge.window.in_flight()] == group.log[0]


def confirmed_and_not_noted(cache: SimulatedRedis) -> tuple[SimulatedBridge, list[Update]]:
    """A bridge that has seen all updates of its partition in Redis, and will have that noted in its next sweep."""
    updates = [Update(entity_id=product, version=Version(10, 0), data=b"{}") for product in PRODUCTS]
    bridge = SimulatedBridge(Group({0: updates}), cache)
    bridge.assigned(0)
    bridge.turn(9)
    bridge.sweep()
    for update in bridge.send(9):
        cache.write(update)
    bridge.sweep()
    assert bridge.window.in_flight() == []
    assert bridge.stored == {}
    return bridge, updates


def test_what_a_primary_has_not_noted_is_not_committed() -> None:
    cache = SimulatedRedis()
    bridge, updates = confirmed_and_not_noted(cache)
    silent = cache.primaries[1]
    silent.down = True
    silent.lose(0)

    bridge.sweep()
    assert bridge.stored == {}
    silent.down = False
    bridge.sweep()
    bridge.turn(9)
    assert [entry.update for entry in bridge.window.in_flight()] == updates


def test_what_was_not_noted_in_one_assignment_is_not_committed_in_the_next() -> None:
    cache = SimulatedRedis()
    bridge, updates = confirmed_and_not_noted(cache)
    for primary in cache.primaries:
        primary.down = True
    bridge.sweep()
    bridge.gone(0)
    for primary in cache.primaries:
        primary.down = False
        primary.lose(0)

    bridge.assigned(0)
    bridge.turn(9)
    bridge.sweep()
    assert bridge.stored == {}
    assert [entry.update for entry in bridge.window.in_flight()] == updates


@pytest.mark.parametrize("committed", [False, True], ids=["nothing was committed", "something was committed"])
def test_a_bridge_that_lingers_makes_nobody_go_back(committed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    cache = SimulatedRedis()
    updates = [Update(entity_id=product, version=Version(10, 0), data=b"{}") for product in PRODUCTS]
    group = Group({0: updates[:1]})
    lingering, owner, successor = (SimulatedBridge(group, cache) for _ in range(3))

    def carry(bridge: SimulatedBridge) -> None:
        bridge.turn(9)
        for update in bridge.send(9):
            cache.write(update)
        bridge.sweep()

    lingering.assigned(0)
    carry(lingering)
    if committed:
        lingering.sweep()
        lingering.auto_commit()
    group.log[0] = updates
    carry(lingering)
    owner.assigned(0)
    carry(owner)
    owner.sweep()
    owner.auto_commit()
    assert group.committed[0][0] == len(updates)
    before = group.committed[0]
    lingering.sweep()
    successor.assigned(0)
    successor.turn(9)
    assert (group.committed[0], successor.position[0]) == (before, len(updates))
