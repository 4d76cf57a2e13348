"""What is the matter with one entity, in words: a pure function of the facts."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lastword.commands.inspecting.entity_search import Findings, Sighting
from lastword.commands.inspecting.facts import Facts, hindrances
from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.contract.printable import counted
from lastword.contract.rfc3339 import format_rfc3339
from lastword.contract.version import Version


class Code(StrEnum):
    """The verdict in a word, for scripts."""

    FRESH = "fresh"
    CONFLICT = "conflict"
    IN_FLIGHT = "in-flight"
    FAILED = "failed"
    DEAD_LETTER = "dead-letter"
    INVALID = "invalid"
    LOST = "lost"
    DAMAGED = "damaged"
    UNUSABLE_KEY = "unusable-key"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict in a word, and in sentences."""

    code: Code
    says: tuple[str, ...]

    @property
    def fresh(self) -> bool:
        """Whether Redis holds the newest version that is known."""
        return self.code in {Code.FRESH, Code.CONFLICT}


_OLDEST: Final = Version(-1, 0)

NOTICE: Final = (False, None)
"""Whether it is deleted, and the data, of a record that says only that something changed."""


def judge(facts: Facts) -> Verdict:
    """Say whether Redis holds the entity's newest version, and if not, why not."""
    held, newest = facts.held, facts.findings.newest
    if held.kind not in {"none", "hash"}:
        return _unusable(facts)
    if letter := _dead_letter_of_the_newest(facts):
        return _dead_letter(letter, facts.findings.version)
    if newest is not None and newest.version is not None and (held.version or _OLDEST) < newest.version:
        return _behind(facts, newest, newest.version)
    if invalid := _invalid_at_the_end(facts.findings):
        return _invalid(facts, invalid)
    return _unknown(facts) if held.version is None else _settled(facts)


# Which record counts.


def _dead_letter_of_the_newest(facts: Facts) -> StoredDeadLetter | None:
    """A dead letter of the newest version, if that is newer than what is held."""
    held, known, newest = facts.held.version or _OLDEST, facts.findings.version or _OLDEST, facts.findings.newest

    def counts(letter: StoredDeadLetter) -> bool:
        if letter.version is not None and letter.version > max(held, known):
            return True
        # A newer record, or a later one that was sent again, says more than the letter does.
        is_of_newest = newest is not None and _is_of(letter, newest) and letter.version in {None, known}
        return is_of_newest and known > held

    return max(filter(counts, facts.letters), key=lambda letter: letter.version or known, default=None)


def _is_of(letter: StoredDeadLetter, sighting: Sighting) -> bool:
    """Whether a record is the one that a letter was made of; in a topic made anew another has its place."""
    return letter.origin == sighting.record_id and letter.timestamp_ms in {None, sighting.timestamp_ms}


def _invalid_at_the_end(findings: Findings) -> Sighting | None:
    """The last record, if it is invalid: what it was to say is in no version."""
    latest = findings.latest
    return latest[0] if latest and latest[0].invalid else None


# The verdicts.


def _unusable(facts: Facts) -> Verdict:
    what = f"the key {facts.held.key!r} in Redis holds a {facts.held.kind}, not ours: nothing can be written there"
    return Verdict(Code.UNUSABLE_KEY, (what, "delete or rename it, then `lastword replay` its dead letters"))


def _dead_letter(letter: StoredDeadLetter, version: Version | None) -> Verdict:
    origin = letter.origin
    where = f"partition {origin.partition} offset {origin.offset}" if origin else "a place that is not known"
    what = (
        f"the newest version, {letter.version or version} at {where}, is a dead letter: {letter.error}: {letter.reason}"
    )
    return Verdict(Code.DEAD_LETTER, (what, f"mend the cause, then `lastword replay {letter.record_id}`"))


def _behind(facts: Facts, newest: Sighting, version: Version) -> Verdict:
    """Redis holds an older version than a record that is valid and no dead letter."""
    held, group, failure = facts.held.version, facts.group, facts.failure
    what = f"Redis holds {'nothing' if held is None else f'version {held}'}, and {_at(newest)} has version {version}"
    if failure is not None and failure.version == version:
        why = f"a worker has recorded that it can never be applied: {failure.error}: {failure.message}"
        return Verdict(Code.FAILED, (what, f"{why}; a running bridge is about to dead-letter it"))
    if group.has_passed(newest.partition, newest.offset):
        why = (
            f"group {group.name!r} has committed it, so Redis has held it and lost it: it was restarted, flushed or "
            "failed over, or the key was deleted, evicted or has expired"
        )
        return Verdict(Code.LOST, (what, why, "`lastword verify --repair` sends again what is missing"))
    progress = group.progress[newest.partition]
    committed = "committed nothing" if progress.committed is None else f"committed offset {progress.committed}"
    why = (
        f"it is published and not applied yet: group {group.name!r} has {committed} in partition {newest.partition}; "
        f"lag {counted(progress.lag, 'record')}"
    )
    return Verdict(Code.IN_FLIGHT, (what, why, *_of_another_topic(facts), *hindrances(facts, progress)))


def _invalid(facts: Facts, invalid: Sighting) -> Verdict:
    handled = any(_is_of(letter, invalid) for letter in facts.letters)
    what = f"the last record, {_at(invalid)}, is invalid{' and a dead letter' if handled else ''}: {invalid.invalid}"
    says = [what, "mend the producer, and publish the product's present state"]
    if facts.held.version is not None:
        says.append(f"apart from it: {_holds(facts)}")
    return Verdict(Code.INVALID, tuple(says))


def _unknown(facts: Facts) -> Verdict:
    what = f"Redis holds nothing under {facts.held.key!r}, and {_looked(facts.findings)} no record of the product"
    question = (
        "is that the id as it is in the records, and are LASTWORD_KEY_PREFIX, LASTWORD_KEY_FORM and LASTWORD_TOPIC "
        "those of the bridge?"
    )
    return Verdict(Code.UNKNOWN, (what, question, *_of_another_topic(facts)))


def _of_another_topic(facts: Facts) -> Iterator[str]:
    if facts.note is not None and facts.note.topic != facts.topic:
        yield (
            f"the bridges have noted that keys {facts.flow.key_prefix + '…'!r} are written from topic "
            f"{facts.note.topic!r}; LASTWORD_TOPIC is {facts.topic!r} here"
        )


def _settled(facts: Facts) -> Verdict:
    """Redis holds the newest version, or a newer one."""
    held, newest, others = facts.held, facts.findings.newest, facts.findings.others
    if newest is None or held.version != newest.version:
        return Verdict(Code.FRESH, (_holds(facts), *_notes(facts)))
    came = [(newest.deleted, newest.data), *others]
    if NOTICE in came:
        loaded = f"{_at(newest)} is a notice: the state that Redis holds was loaded by a worker, and is in no record"
        return Verdict(Code.FRESH, (_holds(facts), loaded, *_notes(facts)))
    if (held.deleted, held.data) not in came:
        what = (
            f"Redis holds version {held.version}, as {_at(newest)} has it, but with another content: something else "
            "than the workers has changed the key"
        )
        return Verdict(Code.DAMAGED, (what, "delete the key, then `lastword verify --repair`"))
    if not others:
        return Verdict(Code.FRESH, (_holds(facts), *_notes(facts)))
    what = (
        f"version {held.version} came with {len(set(came))} contents, the last at {_at(newest)}; Redis holds the one "
        "that was written under the newest lock token"
    )
    why = "the source's updated_at and sequence do not order these changes, so none of them is the newer one"
    return Verdict(Code.CONFLICT, (what, why))


# Sentences.


def _holds(facts: Facts) -> str:
    held, newest = facts.held.version, facts.findings.newest
    if newest is None:
        return f"Redis holds version {held}; {_looked(facts.findings)} no record of the product"
    if held == newest.version:
        return f"Redis holds the newest version of the topic: {held}, at {_at(newest)}"
    return f"Redis holds version {held}, newer than all records that were looked at: {newest.version}, at {_at(newest)}"


def _notes(facts: Facts) -> Iterator[str]:
    """Why the state may still not be the one that a person expects, although it is the newest version."""
    held, latest = facts.held.version, facts.findings.latest
    if held is None:
        return
    last = latest[0] if latest else None
    if held.is_apart:
        yield (
            "an id has changed, and offsets of two partitions do not compare: what is held was loaded by a worker, and "
            "so is what comes"
        )
    elif last is not None and last.version is not None and last.version < held:
        yield f"the last record, {_at(last)}, is older than that: {_why_older(last.version, held)}"
    if held.is_position:
        return
    ahead_s = held.updated_at_us / 1_000_000 - facts.now_s
    if ahead_s > 1:
        yield f"what is held is {ahead_s:.0f} s ahead of this machine's clock: until then, other updates lose"


def _why_older(version: Version, held: Version) -> str:
    """How the last record's version is older, and what is wrong if its state is the present one all the same."""
    if held.is_position:
        return (
            f"version {version}, in the source's own order. So it lost, as it must. If it is the present state, the "
            "source's positions have begun anew, as after a restored backup or with a new topic: say since when in "
            "LASTWORD_POSITIONS_ANEW"
        )
    return (
        f"version {version}, updated_at {format_rfc3339(version.updated_at_us)}. So it lost, as it must. If it is the "
        "present state, the source published an older updated_at: a clock that is wrong, or a change that was "
        "published late"
    )


def _looked(findings: Findings) -> str:
    return (
        f"among the {'' if findings.complete else 'last '}{counted(findings.looked_at, 'record')} of partitions "
        f"{findings.partitions} is"
    )


def _at(sighting: Sighting) -> str:
    return f"partition {sighting.partition} offset {sighting.offset}"
