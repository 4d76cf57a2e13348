"""``lastword publish``: one record for each line of a file or of standard input."""

import os
import re
import sys
from collections.abc import Mapping
from typing import IO, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.publisher import Publisher, PublishError
from tasks.contract import InvalidUpdateError, KeyForm, Rules, decode

FLUSH_S: Final = 60.0
NAMED_FAILURES: Final = 3


def publish_lines(
    source: IO[bytes], topic: str, properties: Mapping[str, str | int | bool], rules: Rules, *, unchecked: bool
) -> None:
    """Publish each line that is not empty, and show how far it is; returns when Kafka has them all.

    Raises:
        PublishError: a line is no update (those before it are published), or Kafka did not take a record.
    """
    publisher = Publisher(properties, topic)
    refusal = ""
    with _progress() as progress:
        bar = progress.add_task("publishing", total=_size(source))
        for number, line in enumerate(source, 1):
            progress.advance(bar, len(line))
            if publisher.failed:
                break
            try:
                _publish_line(publisher, line.strip(), rules, unchecked=unchecked)
            except InvalidUpdateError as error:
                refusal = f"line {number}: {error}; --unchecked publishes it all the same"
                break
            except PublishError as error:
                refusal = f"line {number}: {error}"
                break
        left = publisher.flush(FLUSH_S)
    if left:
        refusal = f"{left} records are not delivered after {FLUSH_S:g} s"
    if publisher.failed:
        refusal = f"{len(publisher.failed)} records failed: {'; '.join(publisher.failed[:NAMED_FAILURES])}"
    if refusal:
        raise PublishError(f"{refusal} ({publisher.delivered} records are published to {topic!r})")
    click.echo(f"published {publisher.delivered} records to {topic!r}")


def _publish_line(publisher: Publisher, line: bytes, rules: Rules, *, unchecked: bool) -> None:
    if not line:
        return
    try:
        (update,) = decode(key=None, value=line, headers=(), offset=0, timestamp_ms=None, rules=rules)
    except InvalidUpdateError:
        if not unchecked:
            raise
        publisher.publish(None, line)
    else:
        publisher.publish(_key(update.product_id, rules.key_form), line)


def _key(product_id: str, form: KeyForm) -> bytes:
    """Return the product id as the topic's keys are written."""
    if form is KeyForm.JSON:
        return msgspec.json.encode(product_id)
    if form is KeyForm.INT64:
        number = int(product_id) if re.fullmatch("0|-?[1-9][0-9]{0,18}", product_id) else 2**63
        if not -(2**63) <= number < 2**63:
            raise InvalidUpdateError(f"product_id {product_id[:80]!a} is no 64-bit integer, as the keys are")
        return number.to_bytes(8, "big", signed=True)
    return product_id.encode()


def _size(source: IO[bytes]) -> int | None:
    try:
        return os.fstat(source.fileno()).st_size or None
    except (OSError, ValueError):
        return None


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
