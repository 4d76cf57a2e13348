import pytest

from bridge.delivery.partition_in_flight import Bounds, Delivered, PartitionInFlight

BOUNDS = Bounds(updates=10, bytes=100, waiting=4)


def filled(*sizes: int) -> tuple[PartitionInFlight, list[Delivered]]:
    """A partition with records of one update each, at offsets 0, 10, 20…"""
    partition = PartitionInFlight(0)
    return partition, [partition.deliver(10 * place, 1, size, "source") for place, size in enumerate(sizes)]


def test_only_the_finished_prefix_may_be_committed() -> None:
    partition, records = filled(1, 1, 1, 1)
    for place, committable in ((1, None), (0, 11), (3, 11), (2, 31)):
        assert partition.finish_one(records[place])
        assert partition.committable == committable
    assert not partition.records


def test_offsets_are_taken_as_delivered_whatever_lies_between_them() -> None:
    partition = PartitionInFlight(0)
    first, second = partition.deliver(7, 1, 1, None), partition.deliver(1_000_000, 1, 1, None)
    partition.finish_one(first)
    assert partition.committable == 8
    partition.finish_one(second)
    assert partition.committable == 1_000_001


def test_a_record_is_finished_with_its_last_update() -> None:
    partition = PartitionInFlight(0)
    record = partition.deliver(5, 3, 50, "source")
    assert [partition.finish_one(record) for _ in range(2)] == [False, False]
    assert (partition.updates, partition.bytes, partition.committable, record.source) == (1, 50, None, "source")
    assert partition.finish_one(record)
    assert (partition.updates, partition.bytes, partition.committable, record.source) == (0, 0, 6, None)


def test_a_record_without_updates_is_finished_in_its_turn() -> None:
    partition = PartitionInFlight(0)
    first = partition.deliver(0, 1, 10, "source")
    empty = partition.deliver(1, 0, 10, "source")
    assert (partition.waiting, partition.bytes, partition.committable) == (1, 10, None)
    assert empty.source is None, "nothing needs it any longer"
    partition.finish_one(first)
    assert (partition.waiting, partition.committable) == (0, 2)
    partition.deliver(2, 0, 10, None)
    assert partition.committable == 3


def test_what_is_never_delivered_at_the_end_is_passed_behind_the_last_record() -> None:
    partition = PartitionInFlight(0)
    partition.reach(9)
    assert partition.committable is None, "from where it is read is not known yet"
    partition = PartitionInFlight(0, next=5)
    partition.reach(5)
    assert not partition.records, "nothing was passed"
    partition.reach(9)
    assert partition.committable == 9
    stuck = partition.deliver(9, 1, 10, None)
    for offset in (10, 12, 15, 14):
        partition.reach(offset)
    assert (partition.committable, partition.waiting) == (9, 1), "however often the end is told, it takes one place"
    partition.deliver(15, 0, 0, None)
    partition.finish_one(stuck)
    assert (partition.committable, len(partition.records)) == (16, 0)


@pytest.mark.parametrize(
    ("updates", "size", "room"),
    [(9, 98, True), (10, 98, False), (9, 99, False), (1, 1, True)],
)
def test_there_is_room_up_to_each_bound(updates: int, size: int, room: bool) -> None:  # noqa: FBT001 - a parameter
    partition, _ = filled(2)
    assert partition.has_room(updates, size, BOUNDS) is room


def test_a_record_above_a_bound_goes_in_alone() -> None:
    partition = PartitionInFlight(0)
    assert partition.has_room(1_000, 1_000, BOUNDS)
    large = partition.deliver(0, 1_000, 1_000, None)
    assert not partition.has_room(1, 1, BOUNDS)
    for _ in range(1_000):
        assert not partition.has_room(1_000, 1_000, BOUNDS)
        partition.finish_one(large)
    assert partition.has_room(1_000, 1_000, BOUNDS)


def test_so_many_records_may_wait_behind_one_that_is_stuck() -> None:
    partition, records = filled(*[1] * 6)
    for place, record in enumerate(records[1:], start=1):
        assert partition.has_room(1, 1, BOUNDS) is (place <= BOUNDS.waiting)
        partition.finish_one(record)
    assert partition.waiting == 5
    assert not partition.has_room(1, 1, BOUNDS)
    partition.finish_one(records[0])
    assert partition.waiting == 0
    assert partition.has_room(1, 1, BOUNDS)


def test_a_bound_on_waiting_holds_for_an_otherwise_empty_partition_too() -> None:
    partition, records = filled(1)
    partition.finish_one(records[0])
    assert not partition.has_room(1, 1, Bounds(updates=10, bytes=100, waiting=0))


def half_empty(updates: int, size: int, waiting: int) -> bool:
    partition = PartitionInFlight(0)
    partition.deliver(0, updates, size, None)
    for offset in range(waiting):
        partition.deliver(offset + 1, 0, 1, None)
    assert partition.waiting == waiting
    return partition.is_half_empty(BOUNDS)


def test_half_of_each_bound_must_be_free_to_go_on() -> None:
    assert half_empty(5, 50, 2)
    assert not half_empty(6, 50, 2)
    assert not half_empty(5, 51, 2)
    assert not half_empty(5, 50, 3)
