"""Groups of tasks: their updates go to the cache together, and then each task ends by itself. For one thread.

There is no time that a group waits to grow: while one is under way the next one gathers, so that groups are as large as
the load makes them. A second one sets out when some are waiting, and its locks are on their way while the first one
writes. Notices have groups of their own: a loader that is slow keeps nobody else waiting.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lastword.contract.errors import LockBusyError
from lastword.contract.outcome import UNREMARKABLE, Outcome
from lastword.contract.task import Arguments
from tasks.groups.batches import PreparedBatch
from tasks.refresh import Answer, Awaited, refresh_group
from tasks.resources import Resources

logger = logging.getLogger(__name__)

GROUP_MAX: Final = 512
UNDER_WAY_MAX: Final = 2
FURTHER_AT: Final = 16
"""How many must wait for a second group to set out."""

READ_FROM: Final = 0.1
REMEMBERED: Final = 500
"""From which share of the last so many updates that the cache held already, it is asked before the locks are."""

HELD: Final = frozenset({Outcome.STALE, Outcome.DUPLICATE})
PAUSE_FIRST_S: Final = 0.02  # between two tries of a lock that is busy, doubling


class Prepared(NamedTuple):
    """What a task need not do any more: its arguments are read, and ``answer`` is what became of the update."""

    arguments: Arguments
    answer: Answer

    @property
    def result(self) -> str | None:
        """What the task will return; None where it has more to do than that."""
        return self.answer.value if isinstance(self.answer, Outcome) and self.answer in UNREMARKABLE else None


prepared: ContextVar[Prepared | PreparedBatch | None] = ContextVar("prepared", default=None)
"""Of the task that runs just now; None: it does all by itself."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A task that waits for a group. ``finish`` runs it.

    ``until`` (monotonic): how long a busy lock is waited for; ``not_before``: when it is tried again. ``retries``: how
    often the task was put off.
    """

    arguments: Arguments
    finish: Callable[[Prepared | None], None]
    until: float
    retries: int = 0
    not_before: float = 0.0
    pause_s: float = PAUSE_FIRST_S

    @property
    def entity_id(self) -> str:
        """The entity that it updates."""
        return self.arguments.update.entity_id


@dataclass(eq=False, slots=True)
class _Group:
    """Under way: ``steps`` go on when what is ``awaited`` has come."""

    tasks: Sequence[Waiting]
    steps: Generator[Awaited, None, list[Answer]]
    awaited: Awaited
    entity_ids: frozenset[str]
    lane: "_Lane"


@dataclass(eq=False, slots=True)
class _Lane:
    """Tasks of one kind that wait, and how many of their groups are under way."""

    waiting: deque[Waiting] = field(default_factory=deque)
    under_way: int = 0

    def may_start(self) -> bool:
        """Whether another group may set out."""
        if not self.waiting or self.under_way >= UNDER_WAY_MAX:
            return False
        return not self.under_way or len(self.waiting) >= FURTHER_AT


class Groups:
    """The tasks that a worker has been handed, and the groups that are under way.

    ``wake`` is called, from any thread, when ``advance`` may have something to do.
    """

    def __init__(self, resources: Callable[[], Resources], wake: Callable[[], object]) -> None:
        self._resources = resources
        self._wake = wake
        self._updates, self._notices = _Lane(), _Lane()
        self._marked: deque[Waiting] = deque()
        self._marked_next = True
        self._busy: list[Waiting] = []
        self._under_way: list[_Group] = []
        self._held_share = 0.0

    def add(self, task: Waiting) -> None:
        """Take in a task, for the next group."""
        if task.arguments.marked:
            self._marked.append(task)
        else:
            self._lane_of(task).waiting.append(task)

    def advance(self) -> None:
        """Do all that can be done without waiting for a lock, or for ZooKeeper."""
        self._try_busy_again()
        while True:
            ended = [self._go_on(group) for group in list(self._under_way) if group.awaited.answered]
            # The locks of the next groups are on their way while the tasks of these come to an end.
            started = self._start_groups()
            for group_and_answers in ended:
                if group_and_answers is not None:
                    self._finish(*group_and_answers)
            if not (ended or started):
                return

    def next_try(self) -> float | None:
        """When the first of the busy locks is to be tried again (monotonic); None: none is busy."""
        return min((task.not_before for task in self._busy), default=None)

    def finish(self) -> None:
        """Bring all that is here to an end, waiting for ZooKeeper as long as it takes, but for no busy lock."""
        while self._marked or self._updates.waiting or self._notices.waiting or self._under_way or self._busy:
            for task in self._busy:
                task.until = task.not_before = 0.0
            self.advance()
            for group in list(self._under_way):
                if ended := self._go_on(group):
                    self._finish(*ended)

    def forget(self) -> None:
        """Drop all that is here: it is not run, and the locks that were asked for are released."""
        for waiting in (self._marked, self._updates.waiting, self._notices.waiting, self._busy):
            waiting.clear()
        groups, self._under_way = self._under_way, []
        self._updates.under_way = self._notices.under_way = 0
        for group in groups:
            group.steps.close()

    def _lane_of(self, task: Waiting) -> _Lane:
        return self._notices if task.arguments.update.is_notice else self._updates

    def _try_busy_again(self) -> None:
        now = time.monotonic()
        due = [task for task in self._busy if task.not_before <= now]
        if due:
            self._busy = [task for task in self._busy if task.not_before > now]
            for task in reversed(due):
                self._lane_of(task).waiting.appendleft(task)

    def _start_groups(self) -> bool:
        if self._marked and self._marked_next:
            return self._run_marked()
        self._marked_next = True
        started = False
        for lane in (self._updates, self._notices):
            while lane.may_start() and (tasks := self._take(lane)):
                self._start(tasks, lane)
                started = True
        return self._run_marked() if self._marked and not started else started

    def _run_marked(self) -> bool:
        """Run one that may be what kills workers, alone, once nothing else is under way. Then others have a turn."""
        if self._under_way:
            return False
        self._marked.popleft().finish(None)
        self._marked_next = False
        return True

    def _take(self, lane: _Lane) -> list[Waiting]:
        """Take the next group of a lane, without the entities that are under way already."""
        taken: list[Waiting] = []
        passed_over: list[Waiting] = []
        under_way = frozenset[str]().union(*(group.entity_ids for group in self._under_way))
        while lane.waiting and len(taken) < GROUP_MAX:
            task = lane.waiting.popleft()
            (passed_over if task.entity_id in under_way else taken).append(task)
        lane.waiting.extendleft(reversed(passed_over))
        return taken

    def _start(self, tasks: Sequence[Waiting], lane: _Lane) -> None:
        resources = self._resources()
        # A look costs each a round trip, and spares a lock, or a load, what the cache holds already. Who waited may be
        # overtaken.
        read_first = (
            lane is self._notices or self._held_share > READ_FROM or any(task.pause_s > PAUSE_FIRST_S for task in tasks)
        )
        updates = [task.arguments.update for task in tasks]
        notices = resources.notices([(task.arguments, task.retries) for task in tasks])
        steps = refresh_group(updates, resources.cache, resources.locks, notices, read_first=read_first)
        try:
            awaited = next(steps)
        except StopIteration as end:
            self._finish(tasks, end.value)
        except Exception:
            logger.exception("%d tasks could not be begun as a group; they run one by one", len(tasks))
            self._finish(tasks, None)
        else:
            entity_ids = frozenset(task.entity_id for task in tasks)
            self._under_way.append(_Group(tasks, steps, awaited, entity_ids, lane))
            lane.under_way += 1
            awaited.when_answered(self._wake)

    def _go_on(self, group: _Group) -> tuple[Sequence[Waiting], Sequence[Answer] | None] | None:
        """Take a group's next step; return its tasks and their answers, None for those that must run alone.

        Or None, where the group waits once more.
        """
        try:
            group.awaited = next(group.steps)
            group.awaited.when_answered(self._wake)
        except StopIteration as end:
            answers = end.value
        except Exception:
            logger.exception("%d tasks could not be ended as a group; they run one by one", len(group.tasks))
            answers = None
        else:
            return None
        self._under_way.remove(group)
        group.lane.under_way -= 1
        return group.tasks, answers

    def _finish(self, tasks: Sequence[Waiting], answers: Sequence[Answer] | None) -> None:
        if answers is None:
            for task in tasks:
                task.finish(None)
            return
        now = time.monotonic()
        held = sum(answer in HELD for answer in answers)
        self._held_share += (held / len(answers) - self._held_share) * len(answers) / (len(answers) + REMEMBERED)
        for task, answer in zip(tasks, answers, strict=True):
            if isinstance(answer, LockBusyError) and now + task.pause_s < task.until:
                task.not_before = now + task.pause_s
                task.pause_s *= 2
                self._busy.append(task)
            else:
                task.finish(Prepared(task.arguments, answer))
