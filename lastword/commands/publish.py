"""``lastword publish``: one record for each line of a file or of standard input, or a look at whether each could be."""

import os
from collections.abc import Callable, Mapping
from typing import IO, Final

import click

from lastword.commands.opening import Opened
from lastword.commands.progress import progress_bar
from lastword.commands.reporting import reported
from lastword.contract.change import checked_key
from lastword.contract.printable import counted, printable
from lastword.contract.record import JSON, InvalidUpdateError, Rules
from lastword.process.startup import complain
from lastword.publisher.publish_errors import DeliveryError, PublishError
from lastword.publisher.publisher import Publisher
from lastword.settings.shared import SettingsError

FLUSH_S: Final = 60.0
NAMED_FAILURES: Final = 3
NAMED_LINES: Final = 20


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option("--unchecked", is_flag=True, help="Publish invalid lines too; the bridge dead-letters them.")
@click.option("--check", "only_check", is_flag=True, help="Publish nothing: say which lines are invalid, and why.")
def publish(source: str, *, unchecked: bool, only_check: bool) -> None:
    """Publish changes from SOURCE, a file with one JSON object a line, or from standard input (-).

    Each line becomes one record with the product id as its key. The first invalid line ends it; --check finds them
    all beforehand. The same file may be published again: older versions never win.
    """
    if unchecked and only_check:
        raise click.UsageError("--check and --unchecked exclude each other")
    with reported():
        opened = Opened.from_environment()
        topic, rules = opened.settings.topic, opened.task_settings.rules
        if rules.format != JSON and not unchecked:
            raise SettingsError(
                f"setting LASTWORD_FORMAT: given {rules.format!r}; what is published here is {JSON!r}, which a "
                "bridge with that setting does not read; --unchecked publishes the lines as they are"
            )
        if not only_check:
            opened.reach_kafka(write=[topic], create=opened.settings.create_topics)
        with open_source(source) as lines:
            if only_check:
                check_lines(lines, rules)
            else:
                publish_lines(lines, topic, opened.properties, rules, unchecked=unchecked)


def open_source(source: str) -> IO[bytes]:
    """Open a file, or standard input for ``-``; PublishError where it cannot be read."""
    try:
        return click.open_file(source, "rb")
    except (OSError, RuntimeError) as error:
        what = "standard input" if source == "-" else repr(source)
        raise PublishError(f"{what} cannot be read: {error}") from error


def check_lines(source: IO[bytes], rules: Rules) -> None:
    """Say of each invalid line why it is, of twenty at most, and publish nothing; PublishError where one is invalid."""
    lines = invalid = 0
    with progress_bar() as progress:
        bar = progress.add_task("checking", total=_size(source))
        for number, line in enumerate(source, 1):
            progress.advance(bar, len(line))
            if not line.strip():
                continue
            lines += 1
            try:
                checked_key(line.strip(), rules)
            except InvalidUpdateError as error:
                invalid += 1
                if invalid <= NAMED_LINES:
                    complain(printable(f"line {number}: {error}"))
    if invalid:
        raise PublishError(f"{invalid:,} of {counted(lines, 'line')} are invalid; nothing was published")
    click.echo(f"{counted(lines, 'line')}, each of them valid; nothing was published")


def publish_lines(
    source: IO[bytes], topic: str, properties: Mapping[str, str | int | bool], rules: Rules, *, unchecked: bool
) -> None:
    """Publish each line that is not empty, and show how far it is; returns when Kafka has them all.

    Raises:
        PublishError: a line is no update (those before it are published), or Kafka did not take a record.
    """
    reasons: list[str] = []
    publisher = Publisher(properties, topic, rules=rules)
    refusal = ""
    number = 0
    try:
        with progress_bar() as progress:
            bar = progress.add_task("publishing", total=_size(source))
            for number, line in enumerate(source, 1):
                progress.advance(bar, len(line))
                if publisher.failed:
                    break
                try:
                    _publish_line(publisher, line.strip(), rules, reasons.append, unchecked=unchecked)
                except InvalidUpdateError as error:
                    refusal = f"line {number}: {error}; --unchecked publishes it all the same"
                    break
                except PublishError as error:
                    refusal = f"line {number}: {error}"
                    break
            publisher.flush(FLUSH_S)
    except KeyboardInterrupt:
        complain(f"stopped at line {number}: {publisher.delivered} records are surely published to {topic!r}")
        raise
    except DeliveryError as error:
        refusal = f"{error.pending} records are not delivered after {FLUSH_S:g} s{publisher.trouble}"
    finally:
        publisher.close(0)  # has nothing in flight any more, or is not waited for
    if reasons and not refusal:
        refusal = f"{len(reasons)} records failed: {'; '.join(reasons[:NAMED_FAILURES])}"
    if refusal:
        raise PublishError(f"{refusal} ({publisher.delivered} records are published to {topic!r})")
    click.echo(f"published {publisher.delivered} records to {topic!r}")


def _publish_line(
    publisher: Publisher, line: bytes, rules: Rules, failed: Callable[[str], None], *, unchecked: bool
) -> None:
    if not line:
        return
    try:
        key = checked_key(line, rules)
    except InvalidUpdateError:
        if not unchecked:
            raise
        key = None
    publisher.publish_record(key, line, on_failed=lambda reason: failed(f"record with key {key!r}: {reason}"))


def _size(source: IO[bytes]) -> int | None:
    try:
        return os.fstat(source.fileno()).st_size or None
    except (OSError, ValueError):
        return None
