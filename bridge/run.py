"""Putting a bridge together from its settings, and running it until it is asked to stop."""

import logging
import signal
from contextlib import suppress
from types import FrameType
from typing import Final

from bridge.claim import Claim
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from bridge.enqueue.app import app
from bridge.enqueue.enqueue import Enqueuer
from bridge.inquiry import Inquiry
from bridge.letters.dead_letters import DeadLetters
from bridge.loop import Bridge
from bridge.records import Records
from bridge.topic.watch import TopicWatch
from lastword.broker.config import mind_foreign_settings
from lastword.broker.reach import broker_address, wait_for_broker
from lastword.cache.cache import Cache
from lastword.cache.opening import open_cache
from lastword.cache.seal import Stamps
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.record import JSON
from lastword.formats.decoding import decoder_of
from lastword.kafka.topic_ids import TopicIds
from lastword.kafka.topics import reach_kafka, refuse_early_expiry
from lastword.process.heartbeat import Heartbeat
from lastword.process.reach import wait_for_cache
from lastword.process.startup import collect_seldom, wait_for
from lastword.settings.bridge import BridgeSettings, kafka_properties
from lastword.settings.shared import TaskSettings

logger = logging.getLogger(__name__)

CLOCKS: Final = Clocks()

IN_FLIGHT_MAX: Final = 10_000
"""The most updates sent and not yet seen in Redis."""

WAIT_S: Final = 1.0
"""How long Redis may wait for its replicas in one call."""


def run(settings: BridgeSettings, task_settings: TaskSettings) -> None:
    """Wait for the servers, then bridge until SIGTERM or SIGINT; a second one ends the draining at once.

    Raises:
        SettingsError: the URL of Redis or of the Celery broker cannot be used, two settings contradict each other, or
            the keys are another topic's.
        UnreachableError: a server could not be reached before the start's deadline.
        MissingTopicError: a topic is missing.
        KafkaRefusedError: Kafka refuses this consumer for good.
    """
    properties = kafka_properties(settings)
    if task_settings.format != JSON:
        decoder_of(task_settings.rules)  # refuses a function that does not exist
    cache = open_cache(task_settings)
    mind_foreign_settings(app)
    broker_address(app)  # refuses an unusable URL before anything is waited for
    heartbeat = Heartbeat(task_settings.heartbeat_file)
    signals = Signals()
    _wait_for_servers(settings, task_settings, properties, cache)
    claim = Claim.of(settings, task_settings, cache)
    with suppress(CacheUnavailableError):  # Redis may take nothing just now; before anything is sent it is asked again
        claim.take()
    bridge = _assemble(settings, task_settings, properties, cache, claim=claim, heartbeat=heartbeat)
    signals.install()
    collect_seldom()
    queue = app.conf.task_default_queue
    logger.info("bridging topic %s to Celery queue %s, %s", settings.topic, queue, task_settings.destination)
    bridge.run(signals.stopping, signals.leaving, shutdown_deadline_s=settings.shutdown_deadline_s)
    cache.close()
    logger.info("stopped")


def _wait_for_servers(
    settings: BridgeSettings, task_settings: TaskSettings, properties: dict[str, str | int | bool], cache: Cache
) -> None:
    deadline_s = task_settings.startup_deadline_s

    def reach_topics() -> None:
        reach_kafka(
            properties,
            read=[settings.topic],
            write=[settings.letters_topic],
            group=settings.consumer_group,
            create=settings.create_topics,
        )
        if task_settings.ttl_s is not None or task_settings.tombstone_ttl_s is not None:
            refuse_early_expiry(properties, settings.topic, task_settings.replay_horizon_s)

    wait_for("Kafka", settings.kafka_bootstrap_servers, reach_topics, deadline_s=deadline_s)
    wait_for_broker(app, deadline_s)
    wait_for_cache(cache, deadline_s)


def _assemble(
    settings: BridgeSettings,
    task_settings: TaskSettings,
    properties: dict[str, str | int | bool],
    cache: Cache,
    *,
    claim: Claim,
    heartbeat: Heartbeat,
) -> Bridge:
    def open_records(bridge: Bridge) -> Records:
        return Records(
            properties,
            topic=settings.topic,
            group=settings.consumer_group,
            partitions=bridge.partitions,
            then={"assigned": bridge.assigned, "revoked": bridge.revoked, "lost": bridge.lost},
        )

    return Bridge(
        open_records=open_records,
        window=open_window(settings),
        enqueuer=Enqueuer(
            app, settings.topic, updates_per_task=settings.updates_per_task, to=lambda: claim.destination
        ),
        cache=cache,
        stamps=Stamps(task_settings.key_prefix, replicas=settings.wait_replicas, wait_s=WAIT_S),
        claim=claim,
        inquiry=Inquiry(app, lambda: claim.destination),
        letters=DeadLetters(properties, settings.letters_topic),
        topic=TopicWatch(TopicIds(properties, settings.topic)),
        rules=task_settings.rules,
        undecodable_max=settings.undecodable_max,
        heartbeat=heartbeat,
    )


def open_window(settings: BridgeSettings) -> Window:
    """An empty window with the bounds of the settings."""
    return Window(Bounds(IN_FLIGHT_MAX, settings.in_flight_bytes_max), CLOCKS)


class Signals:
    """Counts SIGTERM and SIGINT: the first asks the bridge to stop, the second not to wait for what is in flight."""

    def __init__(self) -> None:
        self._count = 0

    def install(self) -> None:
        """Take the signals over from Python."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def stopping(self) -> bool:
        """Whether the bridge was asked to stop."""
        return self._count > 0

    def leaving(self) -> bool:
        """Whether it was asked twice."""
        return self._count > 1

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._count += 1
