"""A task with many updates ends once, when each of them has, and says what became of them."""

import pytest

from lastword.contract.errors import LockBusyError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.task import Arguments, Send
from lastword.contract.version import Version
from tasks.groups.batches import Batch, PreparedBatch, summary
from tasks.refresh import Answer

SENDS = [
    Send(
        f"products:0:{number}",
        Arguments(
            update=Update(entity_id=str(number), version=Version(1, number), data=b"1"),
            nonce="n",
            first_sent=0.0,
            not_after=1.0,
        ),
    )
    for number in range(3)
]


def test_it_ends_once_and_with_the_last_of_its_updates() -> None:
    ended: list[PreparedBatch] = []
    batch = Batch(SENDS, ended.append)
    batch.answered(2, Outcome.STALE)
    batch.answered(0, None)
    assert ended == []
    batch.answered(1, Outcome.APPLIED)
    assert ended == [PreparedBatch(SENDS, [None, Outcome.APPLIED, Outcome.STALE])]


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED], "2 applied, 1 stale"),
        ([Outcome.DUPLICATE] * 3, "3 duplicate"),
        ([Outcome.CONFLICT, Outcome.APPLIED, Outcome.APPLIED], None),
        ([Outcome.APPLIED, LockBusyError("busy"), Outcome.APPLIED], None),
        ([Outcome.APPLIED, None, Outcome.APPLIED], None),
    ],
)
def test_where_nothing_is_left_to_do_or_to_say_its_result_is_known(answers: list[Answer | None], result: str) -> None:
    assert PreparedBatch(SENDS, answers).result == result


def test_the_summary_tells_what_goes_on_alone() -> None:
    assert summary([Outcome.CONFLICT, LockBusyError("busy"), Outcome.APPLIED, Outcome.APPLIED]) == (
        "2 applied, 1 conflict, 1 handed over"
    )
