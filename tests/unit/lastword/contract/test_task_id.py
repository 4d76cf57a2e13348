"""Each send of an update is a task of its own, and all of them are known to be of one record."""

import pytest

from bridge.enqueue.enqueue import task_id
from lastword.contract.task_id import record_id, repetition_id

pytestmark = pytest.mark.core

FIRST = task_id("my.topic-2_b", 3, 12)
FIRST_OF_SEVERAL = task_id("my.topic-2_b", 3, 12, 4)


def test_ids_of_first_tasks_say_where_the_record_is() -> None:
    assert (FIRST, FIRST_OF_SEVERAL) == ("my.topic-2_b:3:12", "my.topic-2_b:3:12:4")


@pytest.mark.parametrize("first", [FIRST, FIRST_OF_SEVERAL])
def test_a_repetition_has_an_id_of_its_own_that_begins_with_the_first(first: str) -> None:
    ids = {repetition_id(first, number, nonce) for number in (2, 3) for nonce in ("a1b2-1f", "c3d4-1f")}
    assert len(ids) == 4, "another bridge counts from one again"
    assert all(one.startswith(first) for one in ids)
    assert {record_id(one) for one in ids} == {first}


@pytest.mark.parametrize("given", [FIRST, FIRST_OF_SEVERAL, f"{FIRST}+19", "0b6f7c52-9a42-4f66-a1b6-d0d6f1a2d6a1", ""])
def test_what_is_no_repetition_is_its_own_record(given: str) -> None:
    """A first task, one of many updates, one of a release that sent every repetition under the first one's id."""
    assert record_id(given) == given
