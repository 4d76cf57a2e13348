"""When the letters of records that do not decode are sent, and when their partition pauses instead."""

import logging
from typing import cast

import pytest
from confluent_kafka import Message

from bridge.delivery.window import Window
from bridge.letters.dead_letters import Letter
from bridge.letters.undecodable import COMPLAIN_EVERY_S, QUIET_S, Undecodable
from tests.windows import change, offer, offsets, opened

MOST = 3


@pytest.fixture
def window() -> Window:
    return opened(0, 1)


@pytest.fixture
def undecodable() -> Undecodable:
    return Undecodable(MOST)


def undecoded(window: Window, number: int, offset: int) -> Letter:
    entry = window.add_letter(number, offset, size=1, source=offset)
    return Letter(entry, cast("Message", offset), "decode", "InvalidUpdateError", f"reason {offset}")


def add(undecodable: Undecodable, window: Window, number: int, *at: int, now: float = 0.0) -> list[bool]:
    return [undecodable.add(undecoded(window, number, offset), now) for offset in at]


def sent(undecodable: Undecodable, now: float) -> list[int]:
    return [letter.entry.record.offset for letter in undecodable.sendable(now)]


def test_a_record_that_decodes_ends_the_run_and_its_letters_go(undecodable: Undecodable, window: Window) -> None:
    assert add(undecodable, window, 0, 10, 11, 12) == [False] * 3
    assert (sent(undecodable, 0.0), undecodable.held) == ([], 3)
    undecodable.end(0)
    assert (sent(undecodable, 0.0), undecodable.held) == ([10, 11, 12], 0)
    assert sent(undecodable, 100.0) == []
    assert add(undecodable, window, 0, 20, 21, 22) == [False] * 3, "the count begins anew"


def test_one_record_too_many_and_nothing_of_the_run_is_sent_or_committed(
    undecodable: Undecodable, window: Window
) -> None:
    offer(window, 0, 9, change("before"))
    assert add(undecodable, window, 0, 10, 11, 12, 13) == [False, False, False, True]
    assert undecodable.too_long == {0}
    window.observe("before", change("before").version, 0.0)
    assert sent(undecodable, 1e6) == []
    assert offsets(window) == [(0, 10)]
    assert undecodable.held == 4


def test_runs_of_other_partitions_are_others(undecodable: Undecodable, window: Window) -> None:
    add(undecodable, window, 0, 10, 11, 12)
    assert add(undecodable, window, 1, 5, 6) == [False] * 2
    undecodable.end(1)
    assert sent(undecodable, 0.0) == [5, 6]
    assert add(undecodable, window, 0, 13) == [True]
    assert undecodable.too_long == {0}


def test_letters_of_a_run_that_grows_no_further_go_but_are_counted(undecodable: Undecodable, window: Window) -> None:
    add(undecodable, window, 0, 10, now=1.0)
    add(undecodable, window, 0, 11, now=2.0)
    assert sent(undecodable, 1.9 + QUIET_S) == []
    assert sent(undecodable, 2.0 + QUIET_S) == [10, 11]
    assert add(undecodable, window, 0, 12, 13, now=20.0) == [False, True]
    assert sent(undecodable, 1e6) == []


def test_letters_that_leave_no_room_for_more_records_go(undecodable: Undecodable) -> None:
    window = opened(updates=2)
    add(undecodable, window, 0, 10, 11)
    assert sent(undecodable, 0.0) == []
    assert not window.admits(0, 1)
    assert sent(undecodable, 0.0) == [10, 11]


def test_a_partition_that_went_away_takes_its_run_along(undecodable: Undecodable, window: Window) -> None:
    add(undecodable, window, 0, 10, 11, 12, 13)
    add(undecodable, window, 1, 5)
    window.revoke([0, 1])
    assert (undecodable.too_long, undecodable.held, sent(undecodable, 1e6)) == (frozenset(), 0, [])
    undecodable.end(1)
    assert sent(undecodable, 1e6) == []
    window.assign([0])
    assert add(undecodable, window, 0, 10, 11, 12) == [False] * 3, "the count begins anew"
    assert undecodable.too_long == frozenset()


def test_a_format_that_is_wrong_is_complained_of_again_and_again(
    undecodable: Undecodable, window: Window, caplog: pytest.LogCaptureFixture
) -> None:
    add(undecodable, window, 0, 10, 11, 12, 13)
    with caplog.at_level(logging.INFO):
        for now in (0.0, 1.0, COMPLAIN_EVERY_S - 1, COMPLAIN_EVERY_S, COMPLAIN_EVERY_S + 1):
            undecodable.sendable(now)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    said = caplog.records[0].getMessage()
    assert "partition 0 is paused until this bridge is started again: more than 3 records in a row" in said
    assert "from offset 10 on" in said
    assert said.endswith("reason 13")
