"""``lastword inspect``: why an entity is as it is."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from bridge.enqueue.app import app
from bridge.enqueue.enqueue import task_id
from lastword.broker.config import mind_foreign_settings
from lastword.broker.consumers import Consumers, read_consumers
from lastword.broker.reach import broker_address
from lastword.cache.cache import Cache
from lastword.cache.flow_note import FlowNote, UnreadableNoteError, read_note
from lastword.cache.held import Held, read_held, read_started
from lastword.cache.opening import open_cache
from lastword.commands.inspecting.entity_search import Findings, dead_letters_of, home_partition
from lastword.commands.inspecting.facts import Facts
from lastword.commands.inspecting.inspect_report import show
from lastword.commands.inspecting.verdict import judge
from lastword.commands.opening import Opened, watched
from lastword.commands.parameters import ENTITY_ID, JSON_ID
from lastword.commands.replaying.letter import read_dead_letter
from lastword.commands.reporting import EXIT_FAILED, reported
from lastword.contract.errors import SessionLostError
from lastword.contract.flow import Destination
from lastword.kafka.group import Group, Progress, read_group
from lastword.kafka.reading import Beginning, Newest, Origin
from lastword.process.reach import wait_for_cache
from lastword.settings.shared import SettingsError
from tasks.broker.under_way import UnderWay, read_under_way
from tasks.lock.inspection import Locking, read_locking


@click.command()
@click.argument("entity_id", type=ENTITY_ID, metavar="[ID]", required=False)
@click.option(
    "--json-id",
    type=JSON_ID,
    metavar="JSON",
    help=r"""The ID as a JSON string, for one that a shell cannot hold: --json-id '"a\u0000b"'.""",
)
@click.option(
    "--records", default=5, show_default=True, type=click.IntRange(1, 1_000), help="How many of its records to show."
)
@click.option(
    "--depth",
    default=200_000,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the last records to look at, of each partition.",
)
@click.option("--all", "everything", is_flag=True, help="Look at all records of all partitions.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def inspect(
    entity_id: str | None, *, json_id: str | None, records: int, depth: int, everything: bool, as_json: bool
) -> None:
    """Tell why the product with this ID is as it is: what Redis, ZooKeeper, Kafka and Celery know of it.

    Exit code 0: Redis holds the newest version that is known. 1: it does not. Changes nothing.
    """
    if (entity_id is None) is (json_id is None):
        raise click.UsageError(f"give the product's ID or --json-id; given: {'both' if json_id else 'neither'}")
    named = entity_id or json_id or ""
    with reported():
        extent = Extent(records, None if everything else depth, everywhere=everything)
        facts = facts_of(named, extent)
        verdict = judge(facts)
        show(facts, verdict, as_json=as_json)
    if not verdict.fresh:
        sys.exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far to look: ``keep`` records are shown; ``depth`` of each partition looked at, None: all that there are.

    ``everywhere``: in all partitions, and not only in that where the entity's key belongs.
    """

    keep: int
    depth: int | None
    everywhere: bool

    @property
    def start(self) -> Origin:
        """Where to begin to read."""
        return Beginning() if self.depth is None else Newest(self.depth)

    def covers(self, progress: Progress) -> bool:
        """Whether all of a partition is looked at."""
        return self.depth is None or progress.end - progress.begin <= self.depth


def facts_of(entity_id: str, extent: Extent) -> Facts:
    """Find out all that is known of an entity.

    Raises:
        SettingsError: a setting is wrong.
        UnreachableError, CacheUnavailableError: Kafka or Redis does not answer; ZooKeeper and the broker need not.
        KafkaRefusedError, MissingTopicError: as in the bridge.
    """
    opened = Opened.from_environment(with_redis=True)
    cache = open_cache(opened.task_settings)
    mind_foreign_settings(app)
    broker_address(app)  # refuses an unusable URL before anything is waited for
    opened.reach_kafka(read=[opened.settings.topic, opened.settings.letters_topic])
    wait_for_cache(cache, opened.task_settings.startup_deadline_s)
    try:
        return Inspection(opened, cache, entity_id, extent).gather()
    finally:
        cache.close()


@dataclass(frozen=True, slots=True)
class Inspection:
    """One look at one entity, from Kafka to ZooKeeper; changes nothing anywhere."""

    opened: Opened
    cache: Cache
    entity_id: str
    extent: Extent

    def gather(self) -> Facts:
        """Find out everything. UnreachableError, KafkaRefusedError, CacheUnavailableError."""
        settings, task_settings = self.opened.settings, self.opened.task_settings
        # First, so that what lies before a committed offset was confirmed before Redis is asked.
        group = read_group(self.opened.properties, settings.topic, settings.consumer_group)
        findings, held = self._search(group)
        with self.opened.read(settings.letters_topic, self.extent.start) as reading:
            stored = map(read_dead_letter, watched(reading, "reading dead letters"))
            letters = dead_letters_of(stored, self.entity_id, task_settings.rules, settings.topic)
        note = self._note()
        newest = findings.newest
        task = "" if newest is None else task_id(settings.topic, *newest.record_id)
        return Facts(
            self.entity_id,
            settings.topic,
            held,
            group,
            findings,
            tuple(letters[: self.extent.keep]),
            locking=self._locking(),
            under_way=_under_way(task),
            task_id=task,
            failure=self.cache.poll([], [task]).failures.get(task) if task else None,
            started=read_started(self.cache, task) if task else (),
            now_s=time.time(),
            flow=Destination(task_settings.flow_name, task_settings.key_prefix, note.cache if note else ""),
            note=note,
            consumers=_consumers(),
        )

    def _search(self, group: Group) -> tuple[Findings, Held]:
        """Look for the entity where its key belongs, and everywhere if that does not explain what is held."""
        rules, extent = self.opened.task_settings.rules, self.extent
        findings = Findings(self.entity_id, rules, extent.keep)
        everywhere = sorted(group.progress)
        home = None if extent.everywhere else home_partition(self.entity_id, rules, len(everywhere))
        held = Held("")
        for numbers in ([] if home is None else [home]), everywhere:
            rest = [number for number in numbers if number not in findings.partitions]
            if rest:
                self._read(rest, group, findings)
                held = read_held(self.cache, self.entity_id)
            if findings.version is not None and (held.version is None or held.version <= findings.version):
                break
        return findings, held

    def _read(self, partitions: Sequence[int], group: Group, findings: Findings) -> None:
        findings.partitions += partitions
        findings.complete &= all(self.extent.covers(group.progress[number]) for number in partitions)
        with self.opened.read(self.opened.settings.topic, self.extent.start, partitions) as reading:
            for message in watched(reading, "reading the topic"):
                findings.take(message)

    def _note(self) -> FlowNote | None:
        try:
            return read_note(self.cache, self.opened.task_settings.key_prefix)
        except UnreadableNoteError as error:
            raise SettingsError(f"setting LASTWORD_KEY_PREFIX: {error}") from error

    def _locking(self) -> Locking | str:
        try:
            return read_locking(self.opened.task_settings, self.entity_id)
        except SessionLostError as error:
            return str(error)


def _under_way(task: str) -> UnderWay | str:
    try:
        return read_under_way(app, [task] if task else [])
    except ConnectionError as error:
        return str(error)


def _consumers() -> Consumers | None:
    try:
        return read_consumers(app)
    except ConnectionError:  # which was said of the tasks under way
        return None
