"""What the commands begin with: their settings, a Kafka that answers and has the topics, and a way to read one."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import click
from confluent_kafka import Message

from lastword.commands.progress import progress_bar
from lastword.commands.reporting import LOG_FORMAT
from lastword.kafka.reading import Origin, Reading, UnknownPartitionError
from lastword.kafka.refusal import Properties
from lastword.kafka.topics import reach_kafka
from lastword.process.startup import wait_for
from lastword.settings.bridge import BridgeSettings, kafka_properties, refuse_unknown_settings
from lastword.settings.shared import TaskSettings, load

FETCH = 1_000
WAIT_S = 0.2


deadline = click.option(
    "--deadline",
    "deadline_s",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for what was sent to the workers and is not confirmed.",
)
"""The option of every command that sends to the workers and waits."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The settings that a command needs, checked."""

    settings: BridgeSettings
    task_settings: TaskSettings
    properties: Properties

    @classmethod
    def from_environment(cls, *, with_redis: bool = False) -> Self:
        """Load the settings; where Redis is not needed, REDIS_URL may be somebody else's. SettingsError as in load."""
        # What librdkafka has to say while it still tries is no news; what fails in the end is reported.
        logging.basicConfig(level=logging.ERROR, format=LOG_FORMAT)
        refuse_unknown_settings()
        settings = load(BridgeSettings)
        task_settings = load(TaskSettings) if with_redis else load(TaskSettings, redis_url="redis://")
        return cls(settings, task_settings, kafka_properties(settings))

    def reach_kafka(self, *, read: Sequence[str] = (), write: Sequence[str] = (), create: int = 0) -> None:
        """Wait until Kafka answers, has these topics and lets us use them; raises as ``wait_for`` and the probe do.

        ``create``: with how many partitions missing ones are made; 0: none is made.
        """
        wait_for(
            "Kafka",
            self.settings.kafka_bootstrap_servers,
            lambda: reach_kafka(self.properties, read=read, write=write, create=create),
            deadline_s=self.task_settings.startup_deadline_s,
        )

    def read(self, topic: str, start: Origin, partitions: Sequence[int] | None = None) -> Reading:
        """Begin to read a topic; raises as Reading does, and a usage error for a partition that there is not."""
        try:
            return Reading(
                self.properties,
                topic,
                start,
                group=self.settings.consumer_group,
                partitions=partitions,
                silence_s=max(1.0, self.task_settings.startup_deadline_s),
            )
        except UnknownPartitionError as error:
            raise click.UsageError(str(error)) from error


def watched(reading: Reading, what: str) -> Iterator[Message]:
    """The records of a reading, with a bar that shows how far it is."""
    with progress_bar() as progress:
        bar = progress.add_task(what, total=reading.total)
        while not reading.done:
            yield from reading.fetch(FETCH, WAIT_S)
            progress.update(bar, completed=reading.passed)
