"""When the letters of records that do not decode are sent, and when their partition pauses instead."""

from typing import cast

import pytest
from confluent_kafka import Message

from bridge.delivery.window import Window
from bridge.letters.dead_letters import DeadLetter
from bridge.letters.undecodable import QUIET_S, Undecodable
from tests.windows import change, offer, offsets, opened

MOST = 3


@pytest.fixture
def window() -> Window:
    return opened(0)


@pytest.fixture
def undecodable() -> Undecodable:
    return Undecodable(MOST)


def undecoded(window: Window, offset: int) -> DeadLetter:
    entry = window.add_dead_letter(0, offset, size=1, source=offset)
    return DeadLetter(entry, cast("Message", offset), "decode", "InvalidUpdateError", f"reason {offset}")


def add(undecodable: Undecodable, window: Window, *at: int, now: float = 0.0) -> list[bool]:
    """Whether the partition must pause at each."""
    return [bool(undecodable.add(undecoded(window, offset), now)) for offset in at]


def sent(undecodable: Undecodable, now: float) -> list[int]:
    return [letter.entry.record.offset for letter in undecodable.sendable(now)]


def test_a_record_that_decodes_ends_the_run_and_its_letters_go(undecodable: Undecodable, window: Window) -> None:
    assert add(undecodable, window, 10, 11, 12) == [False] * 3
    assert (sent(undecodable, 0.0), undecodable.held) == ([], 3)
    undecodable.end()
    assert (sent(undecodable, 0.0), undecodable.held) == ([10, 11, 12], 0)
    assert sent(undecodable, 100.0) == []
    assert add(undecodable, window, 20, 21, 22) == [False] * 3, "the count begins anew"


def test_one_record_too_many_and_nothing_of_the_run_is_sent_or_committed(
    undecodable: Undecodable, window: Window
) -> None:
    offer(window, 0, 9, change("before"))
    assert add(undecodable, window, 10, 11, 12) == [False, False, False]
    assert undecodable.add(undecoded(window, 13), 0.0) == (
        "more than 3 records in a row, from offset 10 on, are no updates, so their format must be wrong "
        "(LASTWORD_UNDECODABLE_MAX). The last of them: reason 13"
    )
    window.observe("before", change("before").version, 0.0)
    assert sent(undecodable, 1e6) == []
    assert offsets(window) == [(0, 10)]
    assert undecodable.held == 4


def test_letters_of_a_run_that_grows_no_further_go_but_are_counted(undecodable: Undecodable, window: Window) -> None:
    add(undecodable, window, 10, now=1.0)
    add(undecodable, window, 11, now=2.0)
    assert sent(undecodable, 1.9 + QUIET_S) == []
    assert sent(undecodable, 2.0 + QUIET_S) == [10, 11]
    assert add(undecodable, window, 12, 13, now=20.0) == [False, True]
    assert sent(undecodable, 1e6) == []


def test_letters_that_leave_no_room_for_more_records_go(undecodable: Undecodable) -> None:
    window = opened(updates=2)
    add(undecodable, window, 10, 11)
    assert sent(undecodable, 0.0) == []
    assert not window.admits(0, 1)
    assert sent(undecodable, 0.0) == [10, 11]


def test_a_partition_that_is_read_anew_begins_another_run(undecodable: Undecodable, window: Window) -> None:
    add(undecodable, window, 10, 11, 12, 13)
    undecodable.begin()
    assert (undecodable.held, sent(undecodable, 1e6)) == (0, [])
    assert add(undecodable, window, 10, 11, 12) == [False] * 3, "the count begins anew"
