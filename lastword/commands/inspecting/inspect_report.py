"""The facts and the verdict, for a person to read or as JSON."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
import msgspec

from lastword.commands.inspecting.entity_search import Sighting
from lastword.commands.inspecting.facts import Facts, clock
from lastword.commands.inspecting.verdict import Verdict
from lastword.commands.replaying.letter_lines import row_of
from lastword.contract.flow import Destination
from lastword.contract.printable import counted, printable
from lastword.contract.version import Version
from tasks.broker.under_way import UnderWay
from tasks.lock.inspection import Locking

PREVIEW: Final = 160


def show(facts: Facts, verdict: Verdict, *, as_json: bool) -> None:
    """Print everything on standard output."""
    if as_json:
        findings = facts.findings
        told = plain(dataclasses.replace(facts, letters=()))
        del told["findings"]
        told["topic"] = {
            "name": facts.topic,
            "partitions": findings.partitions,
            "looked_at": findings.looked_at,
            "complete": findings.complete,
            "records": findings.count,
            "newest": plain(findings.newest),
            "latest": plain(findings.latest),
        }
        told["verdict"] = {"code": verdict.code.value, "fresh": verdict.fresh, "says": verdict.says}
        told["letters"] = [row_of(letter, findings.rules)._asdict() for letter in facts.letters]
        # In ASCII: whatever the terminal's or the pipe's encoding is, a script reads it back.
        click.echo(json.dumps(told, indent=2))
        return
    for title, lines in _sections(facts):
        click.echo(title)
        for line in lines:
            click.echo(f"  {printable(line)}")
    click.echo(f"verdict: {verdict.code}")
    for sentence in verdict.says:
        click.echo(f"  {printable(sentence)}")


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever the facts are made of
    """The value as JSON has it: versions and bytes as text."""
    match value:
        case Version():
            told: Any = str(value)
        case bytes():
            told = value.decode(errors="backslashreplace")
        case Mapping():
            told = {str(name): plain(part) for name, part in value.items()}
        case list() | tuple():
            told = [plain(part) for part in value]
        case msgspec.Struct():
            told = plain(msgspec.structs.asdict(value))
        case _ if dataclasses.is_dataclass(value):
            told = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            told = value
    return told


def _sections(facts: Facts) -> Iterator[tuple[str, list[str]]]:
    findings = facts.findings
    yield f"{facts.flow}", list(_flow(facts))
    yield f"product {facts.product_id!r} in Redis, key {facts.held.key!r}", list(_held(facts))
    yield "its lock in ZooKeeper", list(_lock(facts))
    shown = len(findings.latest)
    count = f"the last {shown} of {findings.count}" if findings.count > shown else f"{findings.count}"
    looked = f"{counted(findings.looked_at, 'record')} of partitions {findings.partitions}"
    yield (
        f"its records in topic {facts.topic!r}: {count}; looked at {looked}{'' if findings.complete else ', not all'}",
        [_record(facts, sighting) for sighting in findings.latest],
    )
    yield f"its dead letters: {len(facts.letters) or 'none'}", list(_letters(facts))
    members = "" if facts.group.members is None else f", {counted(facts.group.members, 'bridge')}"
    yield f"consumer group {facts.group.name!r}{members}", list(_group(facts))
    yield "Celery", list(_celery(facts))


def _flow(facts: Facts) -> Iterator[str]:
    note = facts.note
    if note is None:
        yield "no bridge has noted in Redis that it writes these keys"
    else:
        yield f"written from topic {note.topic!r}; the cache calls itself {note.cache}"


def _held(facts: Facts) -> Iterator[str]:
    held = facts.held
    if held.kind != "hash":
        yield "nothing" if held.kind == "none" else f"a {held.kind}, not ours"
    else:
        yield f"version {held.version}, updated_at {held.updated_at or '-'}"
        yield f"written under lock token {held.token or '(none)'}"
        yield _content(held.deleted, held.data)
    if held.ttl_s is not None:
        yield f"expires in {held.ttl_s:.0f} s"
    if held.unreadable:
        yield f"cannot be read: {held.unreadable}"


def _lock(facts: Facts) -> Iterator[str]:
    locking = facts.locking
    if not isinstance(locking, Locking):
        yield locking
        return
    holder = locking.holder
    if not locking.used:
        yield "free, as far as this root goes: no worker has ever been there; is LASTWORD_ZOOKEEPER_ROOT the workers'?"
    elif holder is None:
        yield "free"
    else:
        yield (
            f"held by session {holder.session}, process {holder.process}, since {clock(holder.since_s)} "
            f"({max(0.0, facts.now_s - holder.since_s):.1f} s), token {holder.czxid}"
        )
    named = f": {', '.join(locking.processes)}" if locking.processes else ""
    yield f"{locking.path}; {counted(locking.sessions, 'session')} of workers{named}"


def _record(facts: Facts, sighting: Sighting) -> str:
    came = "" if sighting.timestamp_ms is None else f" {clock(sighting.timestamp_ms / 1_000)}"
    where = "committed" if facts.group.has_passed(sighting.partition, sighting.offset) else "not committed"
    what = f"invalid: {sighting.invalid}"
    if not sighting.invalid:
        what = f"version {sighting.version}, {_content(sighting.deleted, sighting.data)}"
    return f"partition {sighting.partition} offset {sighting.offset}{came}, {where}: {what}"


def _letters(facts: Facts) -> Iterator[str]:
    for letter in facts.letters:
        version = "" if letter.version is None else f", version {letter.version}"
        record = f" of record {letter.origin}" if letter.origin else ""
        yield f"dead letter {letter.record_id}{record}{version}: {letter.stage}: {letter.error}: {letter.reason}"


def _group(facts: Facts) -> Iterator[str]:
    for number in sorted(facts.findings.partitions):
        progress = facts.group.progress[number]
        committed = "nothing committed" if progress.committed is None else f"committed {progress.committed}"
        open_ones = ""
        if progress.withheld:
            open_ones = f"; {counted(progress.withheld, 'offset')} more, from the first open transaction on"
        owner = f"read by {progress.owner}" if progress.owner else "read by nobody"
        yield f"partition {number}: {committed} of {progress.end}, lag {progress.lag}, {owner}{open_ones}"


def _celery(facts: Facts) -> Iterator[str]:
    under_way = facts.under_way
    if not isinstance(under_way, UnderWay):
        yield under_way
        return
    queue = f" {facts.consumers.queue!r}" if facts.consumers else ""
    yield f"{counted(under_way.queued, 'task')} in the broker's queue{queue}"
    yield f"workers that answer: {', '.join(under_way.workers) or 'none'}"
    for task_id, task in under_way.tasks.items():
        yield f"task {task_id}: {task.state} in {task.worker}"
    for task_id in under_way.revoked:
        yield f"task {task_id}: revoked"
    for consumer in facts.consumers.known if facts.consumers else ():
        purpose = Destination(consumer.flow, consumer.key_prefix)
        yield f"{consumer.worker} consumes {', '.join(map(repr, consumer.queues))} for {purpose}"
    for mark in facts.started:
        yield f"task {facts.task_id} has begun and not ended: {mark}"
    if facts.failure is not None:
        yield f"recorded failure of task {facts.task_id}: {facts.failure.error}: {facts.failure.message}"


def _content(deleted: bool, data: bytes | None) -> str:  # noqa: FBT001 - the field of that name
    if deleted or data is None:
        return "deleted" if deleted else "no data: a notice"
    text = data.decode(errors="backslashreplace")
    return f"data {text[:PREVIEW]}{'…' if len(text) > PREVIEW else ''}"
