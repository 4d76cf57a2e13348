"""The window's rules one by one; tests/property/test_window.py tries them in any order."""

import pytest

from bridge.delivery.in_flight import State
from bridge.delivery.polls import Polls
from bridge.delivery.window import CommitPoint
from lastword.contract.record import Update
from lastword.contract.version import APART, Version
from tests.windows import change, offer, offsets, opened, send_all

# Updates.


def test_updates_are_sent_in_order_until_they_are_said_to_be() -> None:
    window = opened()
    for offset, product in enumerate("bca"):
        offer(window, 0, offset, change(product))
    assert [e.update.entity_id for e in window.unsent(2) if e.update] == ["b", "c"]
    window.sent(window.unsent(2), 0.0)
    assert [e.record.offset for e in window.unsent(9)] == [2]


def test_an_update_overtaken_before_it_was_sent_is_confirmed_without_being_sent() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 5))
    offer(window, 0, 1, change("a", 7))
    assert window.observe("a", Version(6, 0), 0.0) == 1
    assert [e.record.offset for e in window.unsent(9)] == [1]
    assert offsets(window) == [(0, 1)]
    assert window.observe("a", Version(4, 0), 0.0) == 0
    assert window.observe("other", Version(9, 0), 0.0) == 0


def test_an_update_confirmed_while_it_was_being_sent_stays_confirmed() -> None:
    window = opened()
    offer(window, 0, 0, change("a"))
    under_way = window.unsent(9)
    window.observe("a", Version(1, 0), 0.0)
    window.sent(under_way, 0.0)
    window.uncertain(under_way, 0.0)
    assert under_way[0].state is State.DONE
    assert len(window._retransmission) == 0
    assert window.due(9.0, 9) == []


def test_several_updates_of_a_record_are_confirmed_one_by_one() -> None:
    window = opened()
    offer(window, 0, 3, change("a"), change("b"))
    assert [e.position for e in send_all(window)] == [0, 1]
    window.observe("b", Version(1, 0), 0.0)
    assert offsets(window) == []
    window.observe("a", Version(1, 0), 0.0)
    assert offsets(window) == [(0, 4)]


def test_of_several_updates_of_one_product_in_a_record_the_last_counts() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 9), change("b"), change("a", 2))
    assert {e.update.entity_id: e.update.version for e in window.unsent(9) if e.update} == {
        "a": Version(2, 0),
        "b": Version(1, 0),
    }
    assert window.updates == 2


def test_an_uncertain_send_leaves_an_update_unsent_but_it_is_polled() -> None:
    window = opened()
    offer(window, 0, 0, change("a"))
    entries = window.unsent(9)
    window.uncertain(entries, 5.0)
    assert window.unsent(9) == entries
    assert window.due(5.01, 9) == entries
    window.sent(entries, 6.0)
    window.observe("a", Version(1, 0), 9.0)
    assert window.timeout_s == 2.0, "nobody knows which of the two it was: no sample"


@pytest.mark.parametrize(("waiting", "first_look"), [(7, 4.0), (8, 1.0)])
def test_the_newest_of_many_of_its_product_is_polled_more_often(waiting: int, first_look: float) -> None:
    window = opened()
    offer(window, 0, 0, change("slow"))
    send_all(window, 0.0)
    window.observe("slow", Version(1, 0), 8.0)
    for number in range(waiting):
        offer(window, 0, 1 + number, change("a", number))
    window._polls = Polls(0.01, 60.0)
    send_all(window, 100.0)
    assert window.next_poll == 100.0 + first_look


def test_what_is_presumed_lost_is_sent_and_polled_again() -> None:
    window = opened()
    offer(window, 0, 0, change("a"))
    entries = send_all(window)
    assert window.presume_lost(1.9) == 0
    assert window.presume_lost(2.0) == 1
    assert window.presume_lost(2.0) == 0
    assert send_all(window, 2.0) == entries
    assert entries[0].sends == 2
    assert window.next_poll == 2.01


def test_only_an_update_that_arrived_itself_is_measured() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 1))
    offer(window, 0, 1, change("b", 1))
    send_all(window)
    window.observe("a", Version(2, 0), 9.0)
    assert window.timeout_s == 2.0
    window.observe("b", Version(1, 0), 9.0)
    assert window.timeout_s == 27.0


# Dead letters.


def test_a_record_that_is_no_update_is_finished_with_its_letter() -> None:
    window = opened()
    letter = window.add_dead_letter(0, 0, size=10, source="record")
    offer(window, 0, 1, change("a"))
    window.observe("a", Version(1, 0), 0.0)
    assert (window.updates, offsets(window)) == (1, [])
    window.finish(letter)
    window.finish(letter)
    assert (window.updates, offsets(window)) == (0, [(0, 2)])


def test_an_update_given_up_is_sent_no_more_and_finished_with_its_letter() -> None:
    window = opened()
    offer(window, 0, 0, change("a"))
    (entry,) = send_all(window)
    assert window.give_up(entry)
    assert not window.give_up(entry)
    assert window.presume_lost(1_000.0) == 0
    assert window.due(1_000.0, 9) == []
    assert window.observe("a", Version(1, 0), 0.0) == 0
    assert offsets(window) == []
    window.finish(entry)
    assert offsets(window) == [(0, 1)]


def test_an_update_that_was_not_given_up_is_not_finished() -> None:
    window = opened()
    offer(window, 0, 0, change("a"))
    (entry,) = send_all(window)
    window.finish(entry)
    assert (window.updates, offsets(window)) == (1, [])


def test_a_partition_whose_letters_are_refused_is_paused() -> None:
    window = opened(0, 1)
    window.refuse_letters(0, refused=True)
    window.refuse_letters(7, refused=True)
    assert window.paused() == {0}
    assert not window.admits(0, 1)
    assert window.admits(1, 1)
    window.refuse_letters(0, refused=False)
    assert window.paused() == set()
    assert window.admits(0, 1)


# Partitions come and go.


def test_what_comes_after_a_revocation_has_no_effect() -> None:
    window = opened(0, 1)
    offer(window, 0, 0, change("a"), change("b"))
    offer(window, 1, 0, change("c"))
    letter = window.add_dead_letter(0, 1, size=10, source="record")
    given_up, other, kept = send_all(window)
    window.give_up(given_up)
    window.revoke([0, 5])
    for entry in (letter, given_up, other):
        window.finish(entry)
    assert not window.give_up(other)
    assert window.observe("b", Version(1, 0), 0.0) == 0
    assert window.in_flight() == [kept]
    assert (set(window.assigned), window.updates) == ({1}, 1)
    assert offsets(window) == []
    assert len(window._retransmission) == 1
    assert window.due(9.0, 9) == [kept]


def test_a_new_assignment_begins_empty() -> None:
    window = opened(0, 1)
    letter = window.add_dead_letter(0, 8, size=10, source="record")
    offer(window, 0, 9, change("a"))
    window.assign([0])
    assert letter.record.partition.gone
    window.finish(letter)
    assert (window.updates, window.in_flight(), window.unsent(9)) == (0, [], [])
    offer(window, 0, 5, change("a"))
    window.observe("a", Version(1, 0), 0.0)
    assert window.commit_points() == [CommitPoint(0, 6)]


def test_a_commit_point_is_given_once_per_advance_for_each_partition() -> None:
    window = opened(0, 1)
    for number in (0, 1):
        for offset in (10, 20, 30):
            offer(window, number, offset, change(f"{number}-{offset}"))
    for product in ("0-10", "0-20", "1-20"):
        window.observe(product, Version(1, 0), 0.0)
    assert offsets(window) == [(0, 21)]
    assert offsets(window) == []
    window.observe("1-10", Version(1, 0), 0.0)
    assert offsets(window) == [(1, 21)]


# Products whose changes are in several partitions.


def in_partition(offset: int, *, asks: bool = False) -> Update:
    version = Version.at((APART, offset) if asks else offset, 0)
    return Update(entity_id="a", version=version, data=None if asks else b"{}")


def test_what_is_held_of_a_product_that_is_apart_confirms_nothing() -> None:
    window = opened(0, 1)
    offer(window, 0, 7, in_partition(7))
    offer(window, 1, 3, in_partition(3, asks=True))
    assert len(send_all(window)) == 2, "nothing is overtaken across a partition"
    held = Version.at((APART, 1), 0).loaded(None, "00000000000000ff")
    assert window.observe("a", held, 0.0) == 0
    assert offsets(window) == []
    assert window.observe("a", Version.at(0, 1), 0.0) == 2, "another generation is above all of before"


def test_what_was_loaded_confirms_what_came_before_in_its_partition_alone() -> None:
    window = opened(0, 1)
    for offset in (5, 6, 8):
        offer(window, 0, offset, in_partition(offset))
    offer(window, 1, 3, in_partition(3, asks=True))
    entries = {(e.record.partition.number, e.record.offset): e for e in window.in_flight()}
    assert window.loaded(entries[0, 6], 0.0) == 2
    assert window.loaded(entries[0, 6], 0.0) == 0
    assert {(e.record.partition.number, e.record.offset) for e in window.in_flight()} == {(0, 8), (1, 3)}
    assert window.loaded(entries[1, 3], 0.0) == 1


def test_of_one_record_what_is_apart_counts() -> None:
    window = opened()
    offer(window, 0, 4, in_partition(4, asks=True), in_partition(4))
    [entry] = send_all(window)
    assert entry.update is not None
    assert entry.update.version.asks
