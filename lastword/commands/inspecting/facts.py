"""All that was found out about one entity, and about its newest update if that is not applied yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.causes import causes, nobody_reads
from lastword.broker.consumers import Consumers
from lastword.cache.cache import TaskFailure
from lastword.cache.flow_note import FlowNote
from lastword.cache.held import Held
from lastword.commands.inspecting.entity_search import Findings
from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.contract.flow import DEFAULT_FLOW, Destination
from lastword.contract.printable import counted
from lastword.contract.rfc3339 import format_rfc3339
from lastword.kafka.group import Group, Progress
from lastword.settings.flow import DEFAULT_PREFIX
from tasks.broker.under_way import TaskState, UnderWay
from tasks.lock.inspection import Locking

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
    letters: tuple[StoredDeadLetter, ...]
    locking: Locking | str
    under_way: UnderWay | str
    task_id: str = ""
    failure: TaskFailure | None = None
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
    yield from _of_tasks(facts)
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


def _of_tasks(facts: Facts) -> Iterator[str]:
    under_way = facts.under_way
    if isinstance(under_way, str):
        yield f"the Celery broker cannot be asked: {under_way}"
        return
    queued, workers = counted(under_way.queued, "task"), counted(len(under_way.workers), "worker")
    if not under_way.workers:
        yield f"no worker answers; {queued} in the broker's queue"
    elif under_way.tasks:
        for task_id, task in under_way.tasks.items():
            yield f"worker {task.worker} has its task {task_id}: {_state(task, facts.now_s)}"
    else:
        yield (
            f"its task {facts.task_id} is in the broker's queue ({queued}) or waits for a retry: of {workers} none is "
            "at it. Why it is retried is in their logs, at INFO"
        )
    yield from _of_hands(under_way)
    if facts.consumers is not None and facts.consumers.known:
        yield from causes(facts.flow, facts.consumers)
    elif under_way.workers and under_way.elsewhere == under_way.workers:
        yield nobody_reads(under_way.queue, under_way.elsewhere)


def _state(task: TaskState, now_s: float) -> str:
    if task.until_s is not None:
        return f"it waits for its retry, for {max(0.0, task.until_s - now_s):.1f} s more; why is in its log, at INFO"
    return task.state if task.since_s is None else f"{task.state} for {max(0.0, now_s - task.since_s):.1f} s"


def _of_hands(under_way: UnderWay) -> Iterator[str]:
    """What somebody has done to the workers, in Flower or by ``celery control``."""
    for task_id in under_way.revoked:
        yield f"its task {task_id} was revoked: workers discard it. The bridge sends the update again, with another id"
    for worker, limit in under_way.limits.items():
        yield f"worker {worker} runs only {limit}: `rate_limit`. `celery -A tasks control rate_limit <task> 0` ends it"


def clock(seconds: float) -> str:
    """A time in seconds since the epoch, for a person."""
    return format_rfc3339(int(seconds) * 1_000_000)
