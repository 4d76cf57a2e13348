"""Of the updates of one product that are in flight only the newest is sent; the others wait for what becomes of it."""

from bridge.delivery.window import Window
from lastword.contract.record import Update
from lastword.contract.version import Version
from tests.windows import change, offer, offsets, opened, send_all


def notice(product: str, number: int) -> Update:
    return Update(entity_id=product, version=Version(number, 0), data=None)


def sent_offsets(window: Window, now: float = 0.0) -> list[int]:
    return [entry.record.offset for entry in send_all(window, now)]


def test_of_one_product_only_the_newest_is_sent_and_confirms_the_others() -> None:
    window = opened()
    for offset, number in enumerate([3, 9, 4, 7]):
        offer(window, 0, offset, change("a", number))
    offer(window, 0, 4, change("b"))
    assert sent_offsets(window) == [1, 4]
    assert window.unsent(9) == []
    assert window.observe("a", Version(9, 0), 0.0) == 4
    assert offsets(window) == [(0, 4)]


def test_an_older_update_that_comes_later_is_not_sent() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 9))
    assert sent_offsets(window) == [0]
    offer(window, 0, 1, change("a", 4))
    assert sent_offsets(window) == []


def test_two_updates_of_the_same_version_are_both_sent_for_their_contents_may_differ() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 9))
    offer(window, 0, 1, change("a", 9))
    assert sent_offsets(window) == [0, 1]


def test_what_the_cache_holds_meanwhile_confirms_as_much() -> None:
    window = opened()
    for offset, number in enumerate([3, 4, 9]):
        offer(window, 0, offset, change("a", number))
    send_all(window)
    assert window.observe("a", Version(4, 0), 0.0) == 2
    assert offsets(window) == [(0, 2)]
    assert window.updates == 1


def test_an_overtaken_update_that_was_sent_is_not_sent_again_when_it_is_lost() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 1))
    send_all(window, 0.0)
    offer(window, 0, 1, change("a", 2))
    send_all(window, 0.1)
    sent_again = []
    for tenth in range(1_000):
        window.presume_lost(tenth / 10)
        sent_again += sent_offsets(window, tenth / 10)
    assert set(sent_again) == {1}


def test_when_the_newest_is_given_up_the_one_before_it_is_sent() -> None:
    window = opened()
    for offset, number in enumerate([3, 4, 9]):
        offer(window, 0, offset, change("a", number))
    [newest] = send_all(window)
    assert window.give_up(newest)
    assert sent_offsets(window) == [1]
    window.finish(newest)
    window.observe("a", Version(4, 0), 0.0)
    assert offsets(window) == [(0, 3)]


def test_when_the_partition_of_the_newest_goes_the_one_before_it_is_sent() -> None:
    window = opened(0, 1)
    offer(window, 0, 0, change("a", 3))
    offer(window, 1, 0, change("a", 9))
    assert [(e.record.partition.number, e.record.offset) for e in send_all(window)] == [(1, 0)]
    window.revoke([1])
    assert [(e.record.partition.number, e.record.offset) for e in send_all(window)] == [(0, 0)]


def test_nothing_is_overtaken_across_a_notice() -> None:
    window = opened()
    offer(window, 0, 0, change("a", 3))
    offer(window, 0, 1, notice("a", 4))
    offer(window, 0, 2, change("a", 9))
    assert sent_offsets(window) == [0, 1, 2]


def test_once_a_notice_is_confirmed_it_is_in_nobodys_way() -> None:
    window = opened()
    offer(window, 0, 0, notice("a", 1))
    offer(window, 0, 1, change("a", 3))
    send_all(window)
    window.observe("a", Version(1, 0), 0.0)
    offer(window, 0, 2, change("a", 9))
    offer(window, 0, 3, change("a", 8))
    assert sent_offsets(window) == [2]


def test_what_was_sought_and_not_found_is_overtaken_like_the_rest() -> None:
    window = opened()
    window.seek_until(0, 2)
    offer(window, 0, 0, change("a", 3))
    offer(window, 0, 1, change("a", 9))
    sought = window.due(0.0, 9)
    assert [entry.record.offset for entry in sought] == [0, 1]
    window.polled(sought, 0.0)
    assert sent_offsets(window) == [1]


def test_overtaken_updates_do_not_count_among_the_most_that_are_sent() -> None:
    window = opened()
    for offset in range(50):
        offer(window, 0, offset, change("a", offset + 1))
    for offset in range(50, 54):
        offer(window, 0, offset, change(f"b{offset}"))
    assert [entry.record.offset for entry in window.unsent(3)] == [49, 50, 51]


def test_in_a_silence_the_probes_are_what_is_not_overtaken() -> None:
    """A wiped broker, and of each product an older update and a newer one: the older ones would not be sent at all."""
    window = opened()
    for offset in range(20):
        offer(window, 0, offset, change(f"p{offset}", 1))
    assert len(send_all(window, 0.0)) == 20
    for offset in range(20):
        offer(window, 0, 20 + offset, change(f"p{offset}", 2))
    assert len(send_all(window, 0.5)) == 20
    assert window.presume_lost(10.0) == 10
    assert sent_offsets(window, 10.0) == list(range(20, 30))
