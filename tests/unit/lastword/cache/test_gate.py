"""The gate: many together or one alone, whatever comes first."""

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from lastword.cache.gate import Gate
from lastword.cache.started import Started
from lastword.contract.errors import NotAloneError
from tests.waiting import wait_until


class Inside:
    """A thread that is inside, or waits to be, until it is told to leave."""

    def __init__(self, enter: Callable[[], AbstractContextManager[None]]) -> None:
        self.entered = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._stay, args=(enter,))
        self._thread.start()

    def _stay(self, enter: Callable[[], AbstractContextManager[None]]) -> None:
        with enter():
            self.entered.set()
            assert self._leave.wait(120)

    def wait_entered(self) -> None:
        assert self.entered.wait(120)

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


def waits_to_be_alone(gate: Gate, count: int) -> None:
    wait_until(lambda: len(gate._alone) == count, what="a thread waits to be alone")


def test_many_are_inside_together() -> None:
    gate = Gate()
    threads = [Inside(gate.together) for _ in range(3)]
    for thread in threads:
        thread.wait_entered()
    for thread in threads:
        thread.leave()


def test_one_that_is_alone_waits_for_the_others_and_then_they_wait_for_it() -> None:
    gate = Gate()
    first = Inside(gate.together)
    first.wait_entered()
    alone = Inside(gate.alone)
    waits_to_be_alone(gate, 1)
    later = Inside(gate.together)
    assert not alone.entered.wait(0.05)
    assert not later.entered.is_set(), "whoever comes later must not keep it waiting for ever"

    first.leave()
    alone.wait_entered()
    assert not later.entered.wait(0.05)

    alone.leave()
    later.wait_entered()
    later.leave()


def test_two_that_want_to_be_alone_are_so_one_after_the_other() -> None:
    gate = Gate()
    together = Inside(gate.together)
    together.wait_entered()
    one, two = Inside(gate.alone), Inside(gate.alone)
    waits_to_be_alone(gate, 1)
    together.leave()
    wait_until(lambda: one.entered.is_set() or two.entered.is_set(), what="one of them is inside")
    assert not (one.entered.is_set() and two.entered.is_set())
    for thread in (one, two) if one.entered.is_set() else (two, one):
        thread.wait_entered()
        thread.leave()


def test_one_that_hangs_does_not_stop_the_process() -> None:
    gate = Gate(alone_wait_s=0.05, together_wait_s=0.05)
    hangs = Inside(gate.together)
    hangs.wait_entered()
    with pytest.raises(NotAloneError, match="other updates"), gate.alone():
        pass
    with gate.together():
        pass
    hangs.leave()

    hangs = Inside(gate.alone)
    hangs.wait_entered()
    with pytest.raises(NotAloneError, match="another marked update"), gate.alone():
        pass
    with gate.together():
        pass
    hangs.leave()
    with gate.alone():
        pass


def test_a_thread_thrown_out_in_the_middle_does_not_keep_itself_out() -> None:
    gate = Gate()
    gate._together.add(threading.get_ident())
    with gate.alone():
        pass
    gate._alone.add(threading.get_ident())
    with gate.together():
        pass
    with gate.alone():
        pass
    assert not gate._alone


def test_under_a_crowd_whoever_is_alone_is_alone() -> None:
    gate = Gate()
    inside: list[str] = []
    wrong: list[list[str]] = []

    def come_and_go(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(300):
            me = f"{seed}-{number}"
            alone = chance.random() < 0.2
            with gate.alone() if alone else gate.together():
                inside.append(me if not alone else f"alone {me}")
                now = list(inside)
                if any(who.startswith("alone") for who in now) and len(now) > 1:
                    wrong.append(now)
                inside.remove(me if not alone else f"alone {me}")

    threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not wrong


def test_a_marked_update_runs_alone() -> None:
    started = Started(lambda _: None)
    other = Inside(started.unmarked)
    other.wait_entered()
    marked = Inside(lambda: started.marked("task", "n2"))
    beside = marked.entered.wait(0.05)
    other.leave()
    marked.wait_entered()
    later = Inside(started.unmarked)
    beside = beside or later.entered.wait(0.05)
    marked.leave()
    later.wait_entered()
    later.leave()
    assert not beside
