"""``lastword verify``: whether Redis holds the newest version of every entity on the topic."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click
from confluent_kafka import Message

from bridge.claim import Claim
from bridge.enqueue.app import app
from lastword.broker.config import mind_foreign_settings
from lastword.broker.reach import broker_address, wait_for_broker
from lastword.cache.cache import Cache
from lastword.cache.opening import open_cache
from lastword.commands.opening import Opened, deadline, watched
from lastword.commands.progress import progress_bar
from lastword.commands.replaying.letter import read_dead_letter
from lastword.commands.reporting import EXIT_FAILED, reported
from lastword.commands.verifying.comparison import (
    BATCH,
    Missing,
    NewestRecord,
    NewestVersions,
    apart,
    missing_of,
    sort_out,
    still_missing,
)
from lastword.commands.verifying.repair import LocatedUpdate, Repair
from lastword.commands.verifying.verify_report import Report, show
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.record import InvalidUpdateError, Update
from lastword.formats.decoding import updates_of
from lastword.kafka.group import Group, read_group
from lastword.kafka.reading import Beginning, Offsets
from lastword.process.reach import wait_for_cache

CHECK_EVERY_S: Final = 0.5


@click.command()
@click.option("--repair", is_flag=True, help="Send what is missing to the workers, and wait until Redis holds it.")
@click.option(
    "--wait",
    "wait_s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait for updates that are in flight.",
)
@deadline
@click.option("--contents", is_flag=True, help="Compare the contents too; reads the topic twice.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def verify(*, repair: bool, wait_s: float, deadline_s: float, contents: bool, as_json: bool) -> None:
    """Compare the newest version of every product on the topic with what Redis holds.

    Exit code 0: nothing is missing. 1: something is, and was not repaired. What is in flight is not missing. Changes
    nothing, but for --repair.
    """
    with reported():
        opened = Opened.from_environment(with_redis=True)
        cache = open_cache(opened.task_settings)
        try:
            verification = Verification(opened, cache)
            report = verification.run(wait_s=wait_s, contents=contents)
            if repair:
                verification.repair(report, deadline_s)
        finally:
            cache.close()
        show(report, as_json=as_json)
    if not report.good:
        sys.exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class Verification:
    """One comparison of a topic with Redis, beside live traffic: what arrives meanwhile is no difference."""

    opened: Opened
    cache: Cache

    def run(self, *, wait_s: float, contents: bool) -> Report:
        """Compare, with the contents too if that is wanted.

        Raises:
            UnreachableError, KafkaRefusedError, MissingTopicError, SettingsError: as in the bridge.
            CacheUnavailableError: Redis has ceased to answer.
        """
        settings, task_settings = self.opened.settings, self.opened.task_settings
        mind_foreign_settings(app)
        broker_address(app)  # refuses an unusable URL before anything is waited for
        self.opened.reach_kafka(read=[settings.topic, settings.letters_topic])
        wait_for_cache(self.cache, task_settings.startup_deadline_s)
        newest = NewestVersions(task_settings.rules)
        with self.opened.read(settings.topic, Beginning()) as reading:
            for message in watched(reading, "reading the topic"):
                newest.take(message)
        group, missing = self._compare(newest, wait_s)
        ttls_s = [ttl_s for ttl_s in (task_settings.ttl_s, task_settings.tombstone_ttl_s) if ttl_s is not None]
        sorted_out = sort_out(missing, group, ttl_s=min(ttls_s, default=None), now_s=time.time())
        return Report(
            topic=settings.topic,
            records=newest.records,
            products=len(newest),
            invalid=newest.invalid,
            lost=sorted_out.lost,
            in_flight=sorted_out.in_flight,
            expired=len(sorted_out.expired),
            apart=sum(map(apart, newest.batches())),
            bridges=group.members,
            reasons=self._dead_letters(sorted_out.lost) if sorted_out.lost else {},
            other_contents=self._other_contents(newest, missing) if contents else [],
        )

    def repair(self, report: Report, deadline_s: float) -> None:
        """Send what is lost and no dead letter, and say in the report what has come of it."""
        wanted = {
            missing.entity_id: missing.newest for missing in report.lost if missing.entity_id not in report.reasons
        }
        if not wanted:
            return
        wait_for_broker(app, self.opened.task_settings.startup_deadline_s)
        claim = Claim.of(self.opened.settings, self.opened.task_settings, self.cache)
        claim.take()
        repair = Repair.open(self.opened.settings, self.cache, claim, deadline_s=deadline_s)
        try:
            repair.apply(self._updates(wanted))
        finally:
            repair.close()
        before = len(report.lost)
        report.lost = still_missing(report.lost, self.cache)
        report.repaired = before - len(report.lost)
        report.stalled = repair.stalled
        report.reasons |= {missing.product_id: missing.reason for missing in repair.unconfirmed}

    def _compare(self, newest: NewestVersions, wait_s: float) -> tuple[Group, list[Missing]]:
        """What is missing, also after a wait for what is in flight; and how far the group had come before that look."""
        settings = self.opened.settings
        missing: list[Missing] = []
        with progress_bar() as progress:
            bar = progress.add_task("asking Redis", total=len(newest))
            for batch in newest.batches():
                missing += missing_of(batch, self.cache)
                progress.advance(bar, len(batch))
            end = time.monotonic() + wait_s
            bar = progress.add_task("waiting for updates in flight", total=len(missing))
            suspects = len(missing)
            while True:
                group = read_group(self.opened.properties, settings.topic, settings.consumer_group)
                missing = still_missing(missing, self.cache)
                progress.update(bar, completed=suspects - len(missing))
                in_flight = any(not group.has_passed(*each.newest.record_id) for each in missing)
                if not in_flight or time.monotonic() >= end:
                    return group, missing
                time.sleep(CHECK_EVERY_S)

    def _dead_letters(self, lost: Iterable[Missing]) -> dict[str, str]:
        """The reasons of those whose record is a dead letter, by entity."""
        settings = self.opened.settings
        at = {missing.newest.record_id: missing for missing in lost}
        reasons = {}
        with self.opened.read(settings.letters_topic, Beginning()) as reading:
            for letter in map(read_dead_letter, watched(reading, "reading dead letters")):
                missing = at.get(letter.origin) if letter.origin and letter.topic == settings.topic else None
                # Of another version: from a topic of the same name that is gone.
                if missing is not None and letter.version in {None, missing.newest.version}:
                    reasons[missing.entity_id] = f"dead letter {letter.record_id}: {letter.error}: {letter.reason}"
        return reasons

    def _other_contents(self, newest: NewestVersions, missing: Iterable[Missing]) -> list[Missing]:
        """Entities that Redis holds at the newest version, and with another content than that record's.

        What a notice stands for is in no record, and is not compared.
        """
        passed_over = {one.entity_id for one in missing}
        differing: list[Missing] = []
        updates: dict[str, Update] = {}

        def compare() -> None:
            # Twice: a newer version that was written between the reads of version and content is told by the second.
            others = self._not_as_held(self._not_as_held(list(updates.values())))
            differing.extend(Missing(update.entity_id, update.version, newest[update.entity_id]) for update in others)
            updates.clear()

        with self.opened.read(self.opened.settings.topic, Beginning()) as reading:
            for message in watched(reading, "comparing contents"):
                for update in self._newest_in(message, newest):
                    if update.entity_id not in passed_over and not update.is_notice:
                        updates[update.entity_id] = update
                if len(updates) >= BATCH:
                    compare()
        compare()
        return differing

    def _not_as_held(self, updates: Sequence[Update]) -> list[Update]:
        """Those that are neither older than what Redis holds nor the same."""
        standings = self.cache.holds(updates)
        for standing in standings:
            if isinstance(standing, CacheUnavailableError):
                raise standing
        return [update for update, standing in zip(updates, standings, strict=True) if standing is None]

    def _updates(self, wanted: Mapping[str, NewestRecord]) -> Iterator[LocatedUpdate]:
        """The newest updates of these entities, read from the topic once more."""
        ranges: dict[int, tuple[int, int | None]] = {}
        for partition, offset in sorted(record.record_id for record in wanted.values()):
            first, _ = ranges.get(partition, (offset, None))
            ranges[partition] = (first, offset)
        with self.opened.read(self.opened.settings.topic, Offsets(ranges)) as reading:
            for message in watched(reading, "sending what is missing"):
                for update in self._newest_in(message, wanted):
                    yield LocatedUpdate(*wanted[update.entity_id].record_id, update)

    def _newest_in(self, message: Message, newest: Mapping[str, NewestRecord]) -> Iterator[Update]:
        """Those updates of a record that are the newest of their entities."""
        try:
            updates = updates_of(message, self.opened.task_settings.rules)
        except InvalidUpdateError:
            return
        at = (message.partition(), message.offset())
        yield from (
            update for update in updates if update.entity_id in newest and newest[update.entity_id].record_id == at
        )
