"""All that was found out about one product, and about its newest update if that is not applied yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.causes import causes
from bridge.group import Group, Progress
from bridge.letter import StoredLetter
from bridge.product_search import Findings
from tasks.cache import Failure
from tasks.consumers import Consumers
from tasks.flow import DEFAULT_FLOW, DEFAULT_PREFIX, Destination
from tasks.flow_note import FlowNote
from tasks.held import Held
from tasks.lock_holder import Locking
from tasks.rfc3339 import format_rfc3339
from tasks.under_way import UnderWay

DEFAULT: Final = Destination(DEFAULT_FLOW, DEFAULT_PREFIX)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found, in this order: the group's offsets first, then the topic, then Redis, then the rest.

    So what lies before the committed offset was confirmed before Redis was asked. ``locking`` and ``under_way`` are
    texts, the reason, where ZooKeeper or the Celery broker could not be asked. ``failure`` is what a worker has
    recorded of ``task_id``, the task of the newest record; ``started`` are the sends of it that have not ended.
    ``note`` is what the bridges have noted of the ``flow`` in Redis; ``consumers`` are the workers and whom they serve.
    """

    product_id: str
    topic: str
    held: Held
    group: Group
    findings: Findings
    letters: tuple[StoredLetter, ...]
    locking: Locking | str
    under_way: UnderWay | str
    task_id: str = ""
    failure: Failure | None = None
    started: tuple[str, ...] = ()
    now_s: float = 0.0
    flow: Destination = DEFAULT
    note: FlowNote | None = None
    consumers: Consumers | None = None


def hindrances(facts: Facts, progress: Progress) -> Iterator[str]:
    """What may keep the newest update, which is in flight, from being applied: bridge, workers, lock."""
    group = facts.group
    if group.members == 0:
        yield f"no bridge is running in group {group.name!r}: it has no members"
    elif group.members is not None and not progress.owner:
        yield f"of {counted(group.members, 'bridge')} in group {group.name!r} none has its partition: a rebalance?"
    yield _of_task(facts)
    if facts.consumers is not None and facts.consumers.known:
        yield from causes(facts.flow, facts.consumers)
    if facts.started:
        yield (
            f"its task has begun {counted(len(facts.started), 'time')} without an end, so it is at work or kills its "
            f"workers: {'; '.join(facts.started)}"
        )
    if isinstance(facts.locking, str):
        yield f"its lock cannot be looked at: {facts.locking}"
    elif facts.locking.holder is not None:
        holder = facts.locking.holder
        yield (
            f"its lock is held by session {holder.session} ({holder.process}) for "
            f"{max(0.0, facts.now_s - holder.since_s):.1f} s, since {clock(holder.since_s)}"
        )


def _of_task(facts: Facts) -> str:
    under_way = facts.under_way
    if isinstance(under_way, str):
        return f"the Celery broker cannot be asked: {under_way}"
    task = under_way.tasks.get(facts.task_id)
    if task is not None:
        since = "" if task.since_s is None else f" for {max(0.0, facts.now_s - task.since_s):.1f} s"
        return f"worker {task.worker} has its task {facts.task_id}: {task.state}{since}"
    if not under_way.workers:
        return f"no worker answers; {counted(under_way.queued, 'task')} in the broker's queue"
    queued, workers = counted(under_way.queued, "task"), counted(len(under_way.workers), "worker")
    return (
        f"its task {facts.task_id} is in the broker's queue ({queued}) or waits for a retry: of {workers} none is at "
        "it. Why it is retried is in their logs, at INFO"
    )


def counted(number: int, thing: str) -> str:
    """A number of things, in English."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """A time in seconds since the epoch, for a person."""
    return format_rfc3339(int(seconds) * 1_000_000)
