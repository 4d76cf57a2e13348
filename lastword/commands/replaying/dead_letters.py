"""``lastword dead-letters``: which records could not be applied, why, and what they were."""

import heapq
import sys
from collections.abc import Callable, Iterator
from typing import Final

import click

from lastword.commands.opening import Opened, watched
from lastword.commands.parameters import RECORD_ID, TIME, RecordId
from lastword.commands.replaying.letter import read_dead_letter
from lastword.commands.replaying.letter_lines import (
    Row,
    clock,
    print_dead_letter,
    print_json,
    print_lines,
    print_list,
    row_of,
)
from lastword.commands.replaying.original import RecordGoneError, find_dead_letter, restored
from lastword.commands.reporting import EXIT_FAILED, reported
from lastword.contract.record import Rules
from lastword.kafka.reading import Beginning, Newest, Origin, Reading, Since
from lastword.process.startup import complain, leave

LIMIT: Final = 100


@click.group("dead-letters", invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(0),
    metavar="N",
    help=f"List the newest N, 0: all.  [default: {LIMIT}; all with --json]",
)
@click.option(
    "--since", "since_ms", type=TIME, metavar="TIME", help="List those written since: RFC 3339, or 90s, 75m, 2h, 3d."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts.")
@click.pass_context
def dead_letters(context: click.Context, *, limit: int | None, since_ms: int | None, as_json: bool) -> None:
    """List the dead letters, the newest last, each with its id and why its record could not be applied.

    On a terminal each has two lines or more: what it is, and why. Otherwise it is one line with tabs. All of them
    (--limit 0) are printed as they are read, a line each, in order within each partition.
    """
    if context.invoked_subcommand is not None:
        return
    with reported():
        opened = Opened.from_environment()
        topic, rules = opened.settings.letters_topic, opened.task_settings.rules
        opened.reach_kafka(read=[topic])
        most = limit if limit is not None else 0 if as_json else LIMIT
        printing = print_json if as_json else print_lines
        if not most:
            with opened.read(topic, Beginning() if since_ms is None else Since(since_ms)) as reading:
                printing(row_of(read_dead_letter(message), rules) for message in reading)
            return
        rows = newest(lambda start: opened.read(topic, start), rules, most, since_ms)
        if not rows:
            complain(f"no dead letters in {topic!r}" + ("" if since_ms is None else f" since {clock(since_ms)}"))
        elif sys.stdout.isatty() and not as_json:
            print_list(rows, f"dead letters in {topic!r}")
        else:
            printing(rows)
        if len(rows) == most:
            complain(f"these are the newest {most}; --limit 0 lists all")


@dead_letters.command()
@click.argument("record_id", type=RECORD_ID, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option("--value", "value_only", is_flag=True, help="Print the record's value alone, byte for byte.")
def show(record_id: RecordId, *, as_json: bool, value_only: bool) -> None:
    """Show one dead letter in full: why, and the record as it came.

    --value reads the record from its topic where it was too large for the dead letter.
    """
    with reported():
        opened = Opened.from_environment()
        topic = opened.settings.letters_topic
        opened.reach_kafka(read=[topic])
        letter = find_dead_letter(opened.read, topic, record_id)
        if letter is None:
            leave(
                f"no dead letter {record_id} in {topic!r}: it was never there, or the topic has deleted it", EXIT_FAILED
            )
            return
        try:
            if value_only:
                click.echo(restored(opened.read, letter).value or b"", nl=False)
            else:
                print_dead_letter(letter, opened.task_settings.rules, as_json=as_json)
        except RecordGoneError as error:
            leave(str(error), EXIT_FAILED)


def newest(read: Callable[[Origin], Reading], rules: Rules, limit: int, since_ms: int | None) -> list[Row]:
    """The newest dead letters, the newest last; no more than ``limit`` of them are in memory."""
    back, before = limit, -1
    while True:
        with read(Newest(back) if since_ms is None else Since(since_ms)) as reading:
            rows = heapq.nlargest(limit, _dated(reading, rules))
        # Fewer than there are offsets: the last of them hold no letter, and some may lie further back.
        complete = len(rows) >= min(limit, reading.total) or reading.total == before
        if since_ms is not None or complete:
            return [row for _, _, row in reversed(rows)]
        back, before = back * 10, reading.total


def _dated(reading: Reading, rules: Rules) -> Iterator[tuple[int, RecordId, Row]]:
    for message in watched(reading, "reading dead letters"):
        letter = read_dead_letter(message)
        yield letter.at_ms or 0, letter.record_id, row_of(letter, rules)
