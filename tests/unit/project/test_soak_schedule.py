"""The soak's schedule, and how its samples are judged."""

import pytest

from tests.soak.run import KEPT
from tests.soak.schedule import QUIET_S, Fault, kinds, plan
from tests.soak.watch import Sample, growths, highest

LENGTH_S = 600.0
NODES = pytest.mark.parametrize("nodes", [1, 3])


@NODES
def test_the_same_seed_gives_the_same_schedule_and_another_seed_another(nodes: int) -> None:
    assert plan(7, LENGTH_S, nodes) == plan(7, LENGTH_S, nodes)
    assert plan(7, LENGTH_S, nodes) != plan(8, LENGTH_S, nodes)


@NODES
def test_in_ten_minutes_everything_happens(nodes: int) -> None:
    for seed in (1, 2, 3):
        struck = {(group_of(fault, nodes), fault.what) for fault in plan(seed, LENGTH_S, nodes)}
        assert struck == {(kind.group, kind.what) for kind in kinds(nodes)}


def group_of(fault: Fault, nodes: int) -> str:
    return next(kind.group for kind in kinds(nodes) if kind.what == fault.what and fault.target in kind.targets)


@NODES
@pytest.mark.parametrize("seed", range(20))
def test_of_a_group_only_one_suffers_at_a_time_and_the_end_is_quiet(seed: int, nodes: int) -> None:
    faults = plan(seed, LENGTH_S, nodes)
    assert len(faults) > LENGTH_S / 10
    over_s: dict[str, float] = {}
    for fault in faults:
        group = group_of(fault, nodes)
        assert fault.at_s >= over_s.get(group, 0)
        over_s[group] = fault.at_s + fault.lasts_s
        assert over_s[group] <= LENGTH_S - QUIET_S + 0.1


@NODES
def test_what_is_watched_for_its_growth_is_never_killed(nodes: int) -> None:
    killing = {"kill", "stop"}
    assert not {t for kind in kinds(nodes) if kind.what in killing for t in kind.targets}.intersection(KEPT)
    paused = {target for kind in kinds(nodes) if kind.what == "pause" for target in kind.targets}
    assert paused.issuperset(KEPT)


def samples(*values: float) -> list[Sample]:
    return [Sample("worker-2", "memory (MiB)", at, value) for at, value in enumerate(values)]


def test_what_grows_from_the_third_quarter_to_the_last_is_not_flat() -> None:
    [growth] = growths(samples(50, 90, 90, 95, 98, 102, 110, 112))
    assert (growth.early, growth.late, growth.flat) == (100, 111, True)
    [growth] = growths(samples(50, 70, 80, 90, 100, 110, 130, 150))
    assert (growth.early, growth.late, growth.flat) == (105, 140, False)


def test_a_start_that_takes_memory_and_a_peak_are_no_growth() -> None:
    [growth] = growths(samples(10, 95, 100, 100, 100, 100, 100, 500, 100, 100, 100, 100))
    assert growth.flat


def test_znodes_must_not_pile_up() -> None:
    def seen(*values: float) -> list[Sample]:
        return [Sample("ZooKeeper", "znodes", at, value) for at, value in enumerate(values)]

    [growth] = growths(seen(0, 270, 300, 270, 270, 300, 270, 275))
    assert growth.flat
    [growth] = growths(seen(0, 270, 300, 320, 330, 340, 390, 400))
    assert not growth.flat


def test_what_is_under_way_is_not_judged_by_its_growth() -> None:
    seen = [Sample("broker", "tasks queued", 0.0, 5), Sample("broker", "tasks queued", 1.0, 500)]
    assert growths(seen) == []
    assert highest(seen, "tasks queued") == 500
