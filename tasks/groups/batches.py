"""Tasks that carry many updates: each update goes its own way to the cache and has an answer of its own. Pure.

Source: docs/decisions/0017-many-updates-in-a-task.md
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lastword.contract.outcome import UNREMARKABLE, Outcome
from lastword.contract.task import Send
from tasks.refresh import Answer


class PreparedBatch(NamedTuple):
    """What a task with many updates need not do any more. ``answers``: what became of each; None: it is still to do."""

    sends: Sequence[Send]
    answers: Sequence[Answer | None]

    @property
    def result(self) -> str | None:
        """What the task will return; None where it has more to do than that."""
        return summary(self.answers) if all(answer in UNREMARKABLE for answer in self.answers) else None


class Batch:
    """Gathers what becomes of the updates of one task, and calls ``finish`` when all have come to an end."""

    def __init__(self, sends: Sequence[Send], finish: Callable[[PreparedBatch], None]) -> None:
        self._sends = sends
        self._finish = finish
        self._answers: list[Answer | None] = [None] * len(sends)
        self._unanswered = len(sends)

    def answered(self, index: int, answer: Answer | None) -> None:
        """Note what became of one."""
        self._answers[index] = answer
        self._unanswered -= 1
        if not self._unanswered:
            self._finish(PreparedBatch(self._sends, self._answers))


def summary(answers: Sequence[Answer | None]) -> str:
    """How many had which outcome: ``198 applied, 2 stale``."""
    counts = Counter(answer.value if isinstance(answer, Outcome) else "handed over" for answer in answers)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())
