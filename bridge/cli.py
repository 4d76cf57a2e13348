"""The ``lastword`` command, also ``python -m bridge``. Without a subcommand it runs the bridge.

Exit codes: 0 stopped as asked; 1 failed; 2 a wrong setting or usage; 3 a server cannot be reached or a topic is
missing; 4 Kafka refuses us (a wrong password, no permission); 130 interrupted.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

import click
from confluent_kafka import KafkaError, KafkaException

from bridge.delivery import PublishError
from bridge.publish import publish_lines
from bridge.refusal import KafkaRefusedError
from bridge.run import run as run_bridge
from bridge.settings import BridgeSettings, complaint_about_property, kafka_properties, refuse_unknown_settings
from bridge.topics import MissingTopicError, reach_kafka
from tasks.settings import SettingsError, TaskSettings, load
from tasks.startup import EXIT_INTERRUPTED, EXIT_SETTINGS, EXIT_UNREACHABLE, UnreachableError, leave, wait_for

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 4

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def reported() -> Iterator[None]:
    """End the process with a line for a person, and no traceback, for everything a person or a server can cause."""
    try:
        yield
    except SettingsError as error:
        leave(str(error), EXIT_SETTINGS)
    except KafkaException as error:
        refusal = error.args[0]
        if refusal.code() != KafkaError._INVALID_ARG:  # noqa: SLF001 - the library's own name for the code
            raise
        leave(complaint_about_property(refusal.str()), EXIT_SETTINGS)
    except (UnreachableError, MissingTopicError) as error:
        leave(str(error), EXIT_UNREACHABLE)
    except KafkaRefusedError as error:
        leave(str(error), EXIT_REFUSED)
    except PublishError as error:
        leave(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        leave("interrupted", EXIT_INTERRUPTED)


@click.group(invoke_without_command=True)
@click.version_option(package_name="lastword")
@click.pass_context
def main(context: click.Context) -> None:
    """Make Redis hold every product's last word: never an older one, never none."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
@click.option("--create-topics", is_flag=True, help="Create the topic and the dead-letter topic if they are missing.")
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
def run(create_topics: bool = False, log_level: str = "INFO") -> None:  # noqa: FBT001, FBT002 - click's own calling
    """Bridge the topic to Celery until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=log_level, format=LOG_FORMAT)
    with reported():
        refuse_unknown_settings()
        settings = load(BridgeSettings)
        if create_topics:
            settings = settings.model_copy(update={"create_topics": True})
        run_bridge(settings, load(TaskSettings))


@main.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option("--unchecked", is_flag=True, help="Publish invalid lines too; the bridge dead-letters them.")
def publish(source: str, *, unchecked: bool) -> None:
    """Publish changes from SOURCE, a file with one JSON object a line, or from standard input (-).

    Each line becomes one record with the product id as its key. The first invalid line ends it.
    """
    # What librdkafka has to say while it still tries is no news; what fails in the end is reported.
    logging.basicConfig(level=logging.ERROR, format=LOG_FORMAT)
    with reported():
        refuse_unknown_settings()
        # Where it publishes, REDIS_URL may be somebody else's.
        settings, task_settings = load(BridgeSettings), load(TaskSettings, redis_url="redis://")
        properties = kafka_properties(settings)
        wait_for(
            "Kafka",
            settings.kafka_bootstrap_servers,
            lambda: reach_kafka(properties, write=[settings.topic], create=settings.partitions_to_create),
            deadline_s=task_settings.startup_deadline_s,
        )
        with open_source(source) as lines:
            publish_lines(lines, settings.topic, properties, task_settings.rules, unchecked=unchecked)


def open_source(source: str) -> IO[bytes]:
    """Open a file, or standard input for ``-``; PublishError where it cannot be read."""
    try:
        return click.open_file(source, "rb")
    except (OSError, RuntimeError) as error:
        what = "standard input" if source == "-" else repr(source)
        raise PublishError(f"{what} cannot be read: {error}") from error
