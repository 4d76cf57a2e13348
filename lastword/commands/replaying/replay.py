"""``lastword replay``: dead letters sent back, or Redis filled again from the topic."""

import sys
from collections.abc import Iterator, Sequence

import click

from bridge.claim import Claim
from bridge.enqueue.app import app
from lastword.broker.config import mind_foreign_settings
from lastword.broker.reach import broker_address, wait_for_broker
from lastword.cache.opening import open_cache
from lastword.commands.opening import Opened, deadline, watched
from lastword.commands.parameters import RANGE, RECORD_ID, TIME, Range, RecordId
from lastword.commands.progress import progress_bar
from lastword.commands.replaying.letter import StoredDeadLetter, read_dead_letter
from lastword.commands.replaying.original import find_dead_letter
from lastword.commands.replaying.rebuild import Rebuilt, rebuild
from lastword.commands.replaying.replay_report import counts, show_records, show_sent_back
from lastword.commands.replaying.sending_back import Terms, send_back
from lastword.commands.reporting import EXIT_FAILED, reported
from lastword.commands.verifying.repair import Repair
from lastword.kafka.reading import Beginning, Offsets, Origin, Since
from lastword.process.reach import wait_for_cache


@click.command()
@click.argument("ids", nargs=-1, type=RECORD_ID, metavar="[ID]...")
@click.option("--all", "all_letters", is_flag=True, help="Send all dead letters back.")
@click.option("--force", is_flag=True, help="Send dead letters back that are too old, or still invalid.")
@click.option(
    "--since", "since_ms", type=TIME, metavar="TIME", help="The topic's records since: RFC 3339, or 90s, 75m, 2h, 3d."
)
@click.option(
    "--offsets",
    "ranges",
    multiple=True,
    type=RANGE,
    metavar="PARTITION:FIRST[-LAST]",
    help="These records of the topic, both included; without LAST, to the end. May be given again, for "
    "another partition.",
)
@click.option("--all-records", is_flag=True, help="All records that the topic has.")
@deadline
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def replay(
    *,
    ids: Sequence[RecordId],
    all_letters: bool,
    force: bool,
    since_ms: int | None,
    ranges: Sequence[Range],
    all_records: bool,
    deadline_s: float,
    as_json: bool,
) -> None:
    """Send dead letters back to their topic, or fill Redis again from the topic.

    With IDs, as `lastword dead-letters` lists them, or --all: the records of these dead letters are published again at
    the version that they had. The bridge applies them unless Redis holds a newer one. The dead letters stay where they
    are.

    With --since, --offsets or --all-records: reads the topic from there to its present end, beside the bridge, and
    commits nothing. What Redis does not hold is sent to the workers, and Redis is polled until it is there.

    Both may be repeated at any time, since an older version never wins.
    """
    modes = {
        "IDs of dead letters": bool(ids),
        "--all": all_letters,
        "--since": since_ms is not None,
        "--offsets": bool(ranges),
        "--all-records": all_records,
    }
    given = [mode for mode, is_given in modes.items() if is_given]
    if len(given) != 1:
        raise click.UsageError(f"give one of: {', '.join(modes)}; given: {', '.join(given) or 'none'}")
    if force and not (ids or all_letters):
        raise click.UsageError("--force is for dead letters")
    with reported():
        if ids or all_letters:
            good = replay_dead_letters(ids, force=force, as_json=as_json)
        else:
            good = replay_records(_start(since_ms, ranges), deadline_s, as_json=as_json)
    if not good:
        sys.exit(EXIT_FAILED)


def _start(since_ms: int | None, ranges: Sequence[Range]) -> Origin:
    if since_ms is not None:
        return Since(since_ms)
    if not ranges:
        return Beginning()
    wanted = {part.partition: (part.first, part.last) for part in ranges}
    if len(wanted) < len(ranges):
        raise click.UsageError("--offsets: a partition is given twice")
    return Offsets(wanted)


# Dead letters.


def replay_dead_letters(ids: Sequence[RecordId], *, force: bool, as_json: bool) -> bool:
    """Send these dead letters back, all where none is named, and tell what became of them; whether all went."""
    opened = Opened.from_environment()
    topic, letters_topic = opened.settings.topic, opened.settings.letters_topic
    opened.reach_kafka(read=[letters_topic], write=[topic])
    terms = Terms(topic, opened.task_settings.rules, opened.task_settings.replay_horizon_s, force=force)
    missing: list[RecordId] = []
    letters = _named(opened, letters_topic, ids, missing) if ids else _all(opened, letters_topic)
    result = send_back(letters, opened.properties, opened.read, terms)
    for record_id in missing:
        why = f"no such dead letter in {letters_topic!r}: it was never there, or the topic has deleted it"
        result.refuse(record_id, why)
    show_sent_back(result, topic, as_json=as_json)
    return not result.refused


def _named(opened: Opened, topic: str, ids: Sequence[RecordId], missing: list[RecordId]) -> Iterator[StoredDeadLetter]:
    for record_id in dict.fromkeys(ids):
        letter = find_dead_letter(opened.read, topic, record_id)
        if letter is None:
            missing.append(record_id)
        else:
            yield letter


def _all(opened: Opened, topic: str) -> Iterator[StoredDeadLetter]:
    with opened.read(topic, Beginning()) as reading:
        yield from map(read_dead_letter, watched(reading, "sending dead letters back"))


# Records.


def replay_records(start: Origin, deadline_s: float, *, as_json: bool) -> bool:
    """Fill Redis again from the topic, and tell what came of it; whether everything that was read is held."""
    opened = Opened.from_environment(with_redis=True)
    settings, wait_s = opened.settings, opened.task_settings.startup_deadline_s
    cache = open_cache(opened.task_settings)
    mind_foreign_settings(app)
    broker_address(app)  # refuses an unusable URL before anything is waited for
    opened.reach_kafka(read=[settings.topic])
    wait_for_broker(app, wait_s)
    wait_for_cache(cache, wait_s)
    claim = Claim.of(settings, opened.task_settings, cache)
    claim.take()
    repair = Repair.open(settings, cache, claim, deadline_s=deadline_s)
    with opened.read(settings.topic, start) as reading, progress_bar() as progress:
        bar = progress.add_task("reading", total=reading.total)

        def show(result: Rebuilt) -> None:
            progress.update(bar, completed=reading.passed, description=counts(result, repair, in_flight=True))

        result = rebuild(reading, repair, opened.task_settings.rules, show)
        unread = reading.total - reading.passed
    cache.close()
    show_records(result, repair, unread, as_json=as_json)
    return not repair.missed and not repair.stalled
