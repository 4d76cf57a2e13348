"""Why tasks do not come back, as far as the broker and the workers can tell. Pure."""

from collections.abc import Iterator, Sequence

from lastword.broker.consumers import Consumer, Consumers
from lastword.contract.flow import Destination


def causes(ours: Destination, consumers: Consumers) -> Iterator[str]:
    """Say what keeps the tasks of a bridge with this destination from being run; nothing where it is not known."""
    queue, names = consumers.queue, [*(consumer.worker for consumer in consumers.known), *consumers.older]
    if not names:
        yield f"no worker answers; {_tasks(consumers.queued)} in queue {queue!r}"
        return
    ours_too = [consumer for consumer in consumers.known if queue in consumer.queues]
    if ours_too or consumers.older:
        for consumer in ours_too:
            yield from _why_it_drops(ours, consumer, queue)
    elif all(_serves(consumer, ours) for consumer in consumers.known):
        yield nobody_reads(queue, names)
    else:
        others = "; ".join(
            f"{consumer.worker} consumes {', '.join(map(repr, consumer.queues))}" for consumer in consumers.known
        )
        yield (
            f"nobody consumes queue {queue!r}, with {_tasks(consumers.queued)} in it: {others}. Have the workers of "
            "this flow the bridge's LASTWORD_KEY_PREFIX and LASTWORD_FLOW?"
        )


def nobody_reads(queue: str, names: Sequence[str]) -> str:
    """What to say where workers with the right settings were told, or started, to leave the queue."""
    return (
        f"nobody reads the queue {queue!r}, not even {', '.join(names)}: started so (-Q, -X), or told so by "
        f"`cancel_consumer`; `celery -A tasks control add_consumer {queue}` undoes that"
    )


def _serves(consumer: Consumer, ours: Destination) -> bool:
    return (consumer.flow, consumer.key_prefix) == (ours.flow, ours.key_prefix)


def _why_it_drops(ours: Destination, consumer: Consumer, queue: str) -> Iterator[str]:
    theirs = Destination(consumer.flow, consumer.key_prefix)
    if not _serves(consumer, ours):
        yield (
            f"worker {consumer.worker} consumes queue {queue!r} and drops the tasks in it: it is for {theirs}, and "
            f"they are for {ours}; see its LASTWORD_FLOW and LASTWORD_KEY_PREFIX"
        )
    elif ours.cache and consumer.cache is not None and consumer.cache != ours.cache:
        said = f"calls itself {consumer.cache}" if consumer.cache else "is one where no bridge has been"
        yield (
            f"worker {consumer.worker} drops the tasks of queue {queue!r}: its cache is not the bridge's, whatever the "
            f"addresses say; it {said}, the bridge's {ours.cache}. See its REDIS_URL"
        )


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"
