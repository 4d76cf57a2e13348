"""How soon everything is visible again after a fault: the bridge, its broker and its workers in simulated time."""

from collections import Counter, deque
from collections.abc import Iterable

import pytest

from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from lastword.contract.record import Update
from lastword.contract.version import Version

STEP_S = 0.05


class Simulation:
    """The bridge's loop, a broker that keeps the order, workers and a cache. Products named ``never…`` never arrive."""

    def __init__(self, *, tasks_per_s: int = 1_000, prefetch: int = 40) -> None:
        self.now = 0.0
        self.window = Window(Bounds(), Clocks())
        self.window.assign([0])
        self.topic: deque[Update] = deque()
        self.broker: deque[Update] = deque()
        self.workers: deque[Update] = deque()
        self.alive = True
        self.sends: Counter[str] = Counter()
        self._offset = 0
        self._prefetch = prefetch
        self._tasks_per_step = int(tasks_per_s * STEP_S)
        self._cache: dict[str, Version] = {}

    def publish(self, products: Iterable[str]) -> None:
        for product in products:
            self._offset += 1
            self.topic.append(Update(entity_id=product, version=Version(self._offset, 0), data=b"{}"))

    def kill_workers(self) -> None:
        """What they had fetched goes with them."""
        self.alive = False
        self.workers.clear()

    def run(self, seconds: float, *, changes_per_s: int = 0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.publish(f"{self._offset}.{n}" for n in range(int(changes_per_s * STEP_S)))
            self.step()

    def settle(self, most_s: float) -> None:
        end = self.now + most_s
        while self.waiting():
            assert self.now < end, f"{self.waiting()} updates are not visible after {most_s:g} s"
            self.step()

    def waiting(self) -> int:
        """How many updates that can arrive have not."""
        in_flight = [e.update for e in self.window.in_flight() if e.update]
        return sum(not update.entity_id.startswith("never") for update in (*in_flight, *self.topic))

    def step(self) -> None:
        self._bridge()
        self.now += STEP_S
        if self.alive:
            self._work()
        due = self.window.due(self.now, 1_000)
        for product in {e.update.entity_id for e in due if e.update}:
            if product in self._cache:
                self.window.observe(product, self._cache[product], self.now)
        self.window.polled(due, self.now)

    def _bridge(self) -> None:
        while not self.window.paused() and self.topic and self.window.admits(0, 100):
            change = self.topic.popleft()
            self.window.add(0, change.version.updated_at_us, [change], size=100, source=None)
        self.window.presume_lost(self.now)
        entries = self.window.unsent(1_000)
        self.window.sent(entries, self.now)
        for entry in entries:
            assert entry.update is not None
            self.broker.append(entry.update)
            self.sends[entry.update.entity_id] += 1

    def _work(self) -> None:
        for _ in range(self._tasks_per_step):
            while self.broker and len(self.workers) < self._prefetch:
                self.workers.append(self.broker.popleft())
            if self.workers:
                task = self.workers.popleft()
                if not task.entity_id.startswith("never"):
                    self._cache[task.entity_id] = max(task.version, self._cache.get(task.entity_id, task.version))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_without_a_fault_nothing_is_sent_twice() -> None:
    simulation = Simulation()
    simulation.run(20.0, changes_per_s=800)
    simulation.settle(2.0)
    assert max(simulation.sends.values()) == 1


def test_a_backlog_alone_makes_nothing_be_sent_twice() -> None:
    simulation = Simulation(tasks_per_s=200)
    simulation.publish(names("p", 6_000))
    simulation.settle(60.0)
    assert max(simulation.sends.values()) == 1


def test_one_lone_update_survives_a_wiped_broker() -> None:
    simulation = Simulation()
    simulation.alive = False
    simulation.publish(["alone"])
    simulation.run(1.0)
    simulation.broker.clear()
    simulation.alive = True
    simulation.settle(2.0)


def test_ten_stuck_updates_and_a_wiped_broker_delay_the_rest_by_seconds() -> None:
    simulation = Simulation()
    simulation.publish(names("never", 10))
    simulation.run(60.0, changes_per_s=100)
    simulation.alive = False
    simulation.publish(names("p", 200))
    simulation.run(0.5)
    simulation.broker.clear()
    simulation.alive = True
    simulation.settle(10.0)


def test_a_stuck_update_delays_no_other() -> None:
    simulation = Simulation()
    simulation.publish(names("never", 500))
    simulation.run(120.0)
    for _ in range(20):
        simulation.publish(["p"])
        simulation.settle(0.2)
        simulation.run(5.0)


def test_a_worker_killed_twice_in_a_minute_delays_the_rest_by_seconds() -> None:
    simulation = Simulation()
    simulation.run(10.0, changes_per_s=400)
    for _ in range(2):
        simulation.kill_workers()
        simulation.run(5.0, changes_per_s=400)
        simulation.alive = True
        simulation.run(15.0, changes_per_s=400)
    simulation.kill_workers()
    simulation.alive = True
    simulation.run(15.0, changes_per_s=400)
    simulation.settle(15.0)


@pytest.mark.parametrize("outage_s", [5.0, 60.0])
def test_what_a_killed_worker_had_fetched_is_visible_after_no_more_than_its_outage_again(outage_s: float) -> None:
    simulation = Simulation(prefetch=400)
    simulation.run(5.0, changes_per_s=100)
    simulation.publish(names("p", 2_000))
    simulation.step()
    simulation.kill_workers()
    simulation.run(outage_s)
    simulation.alive = True
    simulation.settle(outage_s + 5.0)
    assert max(simulation.sends.values()) <= 3


@pytest.mark.parametrize("outage_s", [5.0, 30.0])
def test_a_broker_wiped_as_the_workers_come_back_delays_the_rest_by_less_than_the_outage(outage_s: float) -> None:
    simulation = Simulation(tasks_per_s=200)
    simulation.run(5.0, changes_per_s=60)
    simulation.kill_workers()
    simulation.run(outage_s, changes_per_s=60)
    simulation.alive = True
    simulation.run(1.0, changes_per_s=60)
    simulation.broker.clear()
    simulation.run(1.0, changes_per_s=60)
    simulation.settle(8.0 + outage_s / 4)
    assert max(simulation.sends.values()) <= 2


def test_ten_minutes_without_workers_then_a_wiped_broker_delay_the_rest_by_a_minute() -> None:
    simulation = Simulation(tasks_per_s=2_000)
    simulation.kill_workers()
    simulation.publish(names("p", 1_000))
    simulation.run(600.0)
    simulation.broker.clear()
    simulation.alive = True
    simulation.settle(60.0 + 15.0)
    assert max(simulation.sends.values()) <= 4
