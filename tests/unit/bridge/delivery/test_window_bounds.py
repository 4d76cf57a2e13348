"""How much the window takes in, and when it goes on taking."""

from lastword.contract.version import Version
from tests.windows import change, offer, offsets, opened


def test_each_partition_takes_its_share_and_goes_on_when_half_of_it_is_free() -> None:
    window = opened(0, 1, updates=20)
    taken = [offset for offset in range(15) if offer(window, 0, offset, change(f"a{offset}"))]
    assert taken == list(range(10))
    assert window.paused() == {0}
    assert offer(window, 1, 0, change("b"))
    for offset in range(5):
        assert window.paused() == {0}
        assert not window.admits(0, 1)
        window.observe(f"a{offset}", Version(1, 0), 0.0)
    assert window.paused() == set()
    assert window.admits(0, 1)


def test_bytes_are_shared_like_updates() -> None:
    window = opened(0, 1, size=100)
    assert offer(window, 0, 0, change("a"), size=30)
    assert not offer(window, 0, 1, change("b"), size=21)
    assert window.paused() == {0}


def test_an_oversize_record_goes_in_alone_and_blocks_no_other_partition() -> None:
    window = opened(0, 1, size=100)
    assert offer(window, 0, 0, change("large"), size=5_000)
    assert not window.admits(0, 1)
    assert offer(window, 1, 0, change("b"), size=20)
    assert not window.admits(1, 1), "all partitions together hold more than the bound"
    window.observe("large", Version(1, 0), 0.0)
    assert window.paused() == set()
    assert window.admits(1, 1)
    assert window.admits(0, 5_000)


def test_what_a_partition_holds_from_a_larger_share_counts_against_all() -> None:
    window = opened(0, updates=10)
    for offset in range(10):
        offer(window, 0, offset, change(f"a{offset}"))
    window.assign([1])
    assert offer(window, 1, 0, change("b")), "one record is always taken"
    assert not offer(window, 1, 1, change("c"))


def test_more_partitions_than_updates_allowed_take_one_record_each() -> None:
    window = opened(*range(8), updates=3)
    assert all(offer(window, number, 0, change(f"p{number}")) for number in range(8))
    assert not any(offer(window, number, 1, change("x")) for number in range(8))
    window.observe("p3", Version(1, 0), 0.0)
    assert window.paused() == set(range(8)) - {3}
    assert offer(window, 3, 1, change("y"))


def test_so_many_offsets_may_wait_behind_a_stuck_update_of_their_partition() -> None:
    window = opened(0, 1, updates=1_000, waiting=50)
    offer(window, 0, 0, change("stuck"))
    offset = 0
    while offer(window, 0, offset + 1, change("flows", offset)):
        window.observe("flows", Version(offset, 0), 0.0)
        offset += 1
    assert offset == 50
    assert window.paused() == {0}
    assert offer(window, 1, 0, change("elsewhere"))
    window.observe("stuck", Version(1, 0), 0.0)
    assert offsets(window) == [(0, 51)]
    assert window.paused() == set()
