import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lastword.contract.errors import SessionLostError
from lastword.contract.version import Version
from tasks.lock.table import AmbiguousError, LockTable, Slot, State
from tests.waiting import wait_until


class Owner:
    """Stands for a grant: something that can be referred to weakly."""


def version(number: int) -> Version:
    return Version(number, 0)


def new_table(*, handover_min_s: float = 10.0, release_timeout_s: float = 60.0) -> LockTable:
    return LockTable(handover_min_s=handover_min_s, release_timeout_s=release_timeout_s)


def hold(table: LockTable, entity_id: str, owner: Owner, *, life_s: float = 60.0) -> Slot:
    slot = table.claim(entity_id, owner)
    assert slot is not None
    table.acquired([slot], "token", time.monotonic() + life_s)
    return slot


def wait_for_waiters(slot: Slot, count: int) -> None:
    wait_until(lambda: len(slot.waiters) == count, what=f"{count} waiting threads")


def in_thread(call: Callable[[], Slot | None]) -> "Future[Slot | None]":
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(call)
    finally:
        pool.shutdown(wait=False)


def test_a_product_is_claimed_once() -> None:
    table, one, other = new_table(), Owner(), Owner()
    slot = table.claim("p", one)
    assert slot is not None
    assert slot.state is State.ACQUIRING
    assert table.claim("p", other) is None
    assert table.claim("q", other) is not None


def test_a_held_lock_goes_to_the_newest_of_those_who_wait_and_is_not_deleted() -> None:
    table, holder = new_table(), Owner()
    slot = hold(table, "p", holder)
    owners = {number: Owner() for number in (2, 5, 3)}
    waits = {}
    for count, (number, owner) in enumerate(owners.items(), start=1):
        waits[number] = in_thread(lambda n=number, o=owner: table.claim_or_wait("p", version(n), o, 30))  # type: ignore[misc]
        wait_for_waiters(slot, count)

    for number, previous in ((5, holder), (3, owners[5]), (2, owners[3])):
        assert table.leave([slot], previous, may_hand_over=True) == []
        assert waits[number].result(120) is slot
        assert slot.owner() is owners[number]
        assert (slot.state, slot.token) == (State.HELD, "token")
        assert table.leave([slot], previous, may_hand_over=True) == [], "a lock handed over is not its old owner's"
    assert table.leave([slot], owners[2], may_hand_over=True) == [slot]
    assert slot.state is State.RELEASING
    table.released([slot])
    assert not table.knows("p")


@pytest.mark.parametrize(("life_s", "may_hand_over"), [(5.0, True), (60.0, False)])
def test_a_lock_with_too_little_time_left_is_released_and_the_newest_acquires_it_anew(
    life_s: float, *, may_hand_over: bool
) -> None:
    table, holder, older, newer = new_table(handover_min_s=10.0), Owner(), Owner(), Owner()
    slot = hold(table, "p", holder, life_s=life_s)
    old_wait = in_thread(lambda: table.claim_or_wait("p", version(1), older, 30))
    wait_for_waiters(slot, 1)
    new_wait = in_thread(lambda: table.claim_or_wait("p", version(2), newer, 30))
    wait_for_waiters(slot, 2)

    assert table.leave([slot], holder, may_hand_over=may_hand_over) == [slot]
    assert not new_wait.done()
    table.released([slot])
    assert new_wait.result(120) is slot
    assert slot.state is State.ACQUIRING
    assert not old_wait.done()
    table.refused(slot)
    assert old_wait.result(120) is None


def test_one_refusal_answers_all_who_wait() -> None:
    table, acquirer, waiter = new_table(), Owner(), Owner()
    slot = table.claim("p", acquirer)
    assert slot is not None
    wait = in_thread(lambda: table.claim_or_wait("p", version(1), waiter, 30))
    wait_for_waiters(slot, 1)
    table.refused(slot)
    assert wait.result(120) is None
    assert not table.knows("p")


def test_waiting_ends_when_its_time_is_up() -> None:
    table, holder, waiter = new_table(), Owner(), Owner()
    slot = hold(table, "p", holder)
    assert table.claim_or_wait("p", version(1), waiter, 0.05) is None
    assert slot.waiters == []
    assert table.leave([slot], holder, may_hand_over=True) == [slot]


def test_a_claim_waits_for_our_own_release_and_for_nothing_else() -> None:
    table, holder, claimer = new_table(), Owner(), Owner()
    slot = hold(table, "p", holder)
    assert table.claim("p", claimer) is None
    table.leave([slot], holder, may_hand_over=True)
    claim = in_thread(lambda: table.claim("p", claimer))
    assert not claim.done()
    table.released([slot])
    claimed = claim.result(120)
    assert claimed is not None
    assert claimed is not slot
    assert claimed.owner() is claimer


def test_a_release_that_is_answered_twice_touches_nobody_elses_slot() -> None:
    table, holder, claimer = new_table(), Owner(), Owner()
    slot = hold(table, "p", holder)
    table.leave([slot], holder, may_hand_over=True)
    table.released([slot])
    table.released([slot])
    assert not table.knows("p")
    claimed = table.claim("p", claimer)
    table.released([slot])
    assert claimed is not None
    assert table.knows("p")
    table.refused(claimed)


def test_a_release_that_is_answered_twice_gives_its_heir_one_slot() -> None:
    table, holder, heir = new_table(handover_min_s=10.0), Owner(), Owner()
    slot = hold(table, "p", holder, life_s=5.0)
    wait = in_thread(lambda: table.claim_or_wait("p", version(1), heir, 30))
    wait_for_waiters(slot, 1)
    table.leave([slot], holder, may_hand_over=True)
    table.released([slot])
    table.released([slot])
    assert wait.result(120) is slot
    assert (slot.state, slot.owner()) == (State.ACQUIRING, heir)
    assert table.knows("p")


def test_an_unanswered_release_is_ambiguous() -> None:
    table, holder, claimer = new_table(release_timeout_s=0.05), Owner(), Owner()
    slot = hold(table, "p", holder)
    table.leave([slot], holder, may_hand_over=True)
    with pytest.raises(AmbiguousError, match="not answered in time"):
        table.claim("p", claimer)


def test_a_grant_thrown_away_without_a_release_is_noticed() -> None:
    table, careless, claimer = new_table(), Owner(), Owner()
    hold(table, "p", careless)
    del careless
    with pytest.raises(AmbiguousError, match="without being released"):
        table.claim("p", claimer)
    with pytest.raises(AmbiguousError, match="without being released"):
        table.claim_or_wait("p", version(1), claimer, 0.05)


def test_closing_wakes_everybody_and_gives_nothing_back_to_delete() -> None:
    table, holder, waiter = new_table(), Owner(), Owner()
    slot = hold(table, "p", holder)
    wait = in_thread(lambda: table.claim_or_wait("p", version(1), waiter, 60))
    wait_for_waiters(slot, 1)
    free: list[bool] = []
    thread = threading.Thread(target=lambda: free.append(table.wait_free("p", 60)))
    thread.start()
    table.close()
    with pytest.raises(SessionLostError):
        wait.result(120)
    thread.join(120)
    assert free == [True]
    assert table.leave([slot], holder, may_hand_over=True) == []
    table.released([slot])
    with pytest.raises(SessionLostError):
        table.claim("p", waiter)
    with pytest.raises(SessionLostError):
        table.acquired([slot], "token", 0.0)


def test_waiting_for_a_free_product() -> None:
    table, holder = new_table(), Owner()
    assert table.wait_free("p", 0)
    slot = hold(table, "p", holder)
    assert not table.wait_free("p", 0.05)
    table.leave([slot], holder, may_hand_over=True)
    table.released([slot])
    assert table.wait_free("p", 0)
