"""Dead letters as a person or a script reads them: a list, lines with tabs, JSON, and one of them in full."""

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import click

from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.contract.printable import printable
from lastword.contract.record import Rules
from lastword.contract.rfc3339 import format_rfc3339

PRODUCT_MAX: Final = 80
REASON_MAX: Final = 600
INDENT: Final = "    "


class Row(NamedTuple):
    """What a list says of one dead letter; all of it is text."""

    id: str
    at: str
    product_id: str
    version: str
    topic: str
    record: str
    stage: str
    error: str
    reason: str
    omitted: str


def row_of(letter: StoredDeadLetter, rules: Rules) -> Row:
    """The dead letter without its contents: a list of many takes little memory."""
    return Row(
        id=str(letter.record_id),
        at=clock(letter.at_ms),
        product_id=letter.entity_id(rules),
        version="" if letter.version is None else str(letter.version),
        topic=letter.topic,
        record="" if letter.origin is None else str(letter.origin),
        stage=letter.stage,
        error=letter.error,
        reason=letter.reason,
        omitted=",".join(letter.omitted),
    )


def clock(time_ms: int | None) -> str:
    """A time in milliseconds as RFC 3339; empty where there is none."""
    return "" if time_ms is None else format_rfc3339(time_ms * 1_000)


def print_json(rows: Iterable[Row]) -> None:
    """Print one JSON object a line, as they come; what is not known is empty."""
    for row in rows:
        # In ASCII: whatever the terminal's or the pipe's encoding is, a script reads it back.
        click.echo(json.dumps(row._asdict()))


def print_lines(rows: Iterable[Row]) -> None:
    """Print one dead letter a line, as they come, with tabs between and the names in the first line."""
    click.echo("\t".join(Row._fields))
    for row in rows:
        click.echo("\t".join(map(printable, row)))


def print_list(rows: Iterable[Row], title: str) -> None:
    """Print dead letters for a terminal, each in a few lines as wide as that is; no word is cut, however long."""
    width = shutil.get_terminal_size().columns
    click.echo(title)
    for row in rows:
        why = f"{row.stage}: {row.error}: {row.reason}" if row.stage else row.reason
        why += f" (omitted: {row.omitted})" if row.omitted else ""
        parts = [row.id, f"{row.at[:19]}Z", f"product {shortened(row.product_id, PRODUCT_MAX)}"]
        parts += [f"version {row.version}"] if row.version else []
        parts += [f"record {row.record}"] if row.record else []
        for line, indent in (("  ".join(parts), ""), (shortened(why, REASON_MAX), INDENT)):
            click.echo(_wrapped(printable(line), width, indent))


def shortened(text: str, length: int) -> str:
    """The text, or its beginning with the number of characters that are left out."""
    left_out = len(text) - length
    return text if left_out <= 0 else f"{text[:length]}… ({left_out:,} more characters)"


def _wrapped(line: str, width: int, indent: str) -> str:
    return textwrap.fill(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=INDENT,
        break_long_words=False,  # an id is there to be copied, and a long word of the reason may be what is wrong
        break_on_hyphens=False,
    )


def print_dead_letter(letter: StoredDeadLetter, rules: Rules, *, as_json: bool) -> None:
    """Print everything that is known of one dead letter."""
    if as_json:
        told: dict[str, object] = {**row_of(letter, rules)._asdict(), "timestamp": clock(letter.timestamp_ms)}
        told |= {
            "key": _text(letter.key),
            "headers": [[name, _text(value)] for name, value in letter.headers],
            "value": _text(letter.value),
            "omitted": dict(letter.omitted),
        }
        click.echo(json.dumps(told))
        return
    for line in _lines(letter, rules):
        click.echo(line)


def _lines(letter: StoredDeadLetter, rules: Rules) -> Iterator[str]:
    origin = letter.origin
    where = f"partition {origin.partition} offset {origin.offset}" if origin else "not known"
    yield f"dead letter  {letter.record_id}, written {clock(letter.at_ms)}"
    written = clock(letter.timestamp_ms) or "at an unknown time"
    yield f"record       {where} of topic {letter.topic!r}, written {written}"
    yield f"product      {printable(letter.entity_id(rules))}"
    yield f"version      {letter.version or 'not known'}"
    yield f"stage        {printable(letter.stage)}"
    yield f"class        {printable(letter.error)}"
    yield f"message      {printable(letter.reason)}"
    yield f"key          {_shown(letter, 'key', letter.key)}"
    yield f"headers      {_shown(letter, 'headers', None) if 'headers' in letter.omitted else len(letter.headers)}"
    for name, value in letter.headers:
        yield f"             {printable(name)}: {'null' if value is None else printable(_text(value) or '')}"
    yield f"value        {_shown(letter, 'value', letter.value)}"


def _shown(letter: StoredDeadLetter, part: str, content: bytes | None) -> str:
    size = letter.omitted.get(part)
    if size is not None:
        return f"omitted, its {size:,} bytes were too large for the dead-letter topic; the record has it"
    return "null" if content is None else printable(_text(content) or "")


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="backslashreplace")
