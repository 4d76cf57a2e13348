"""The ``lastword`` command, also ``python -m bridge``, which runs the bridge where no subcommand is given.

Exit codes: 0 stopped as asked, or fresh; 1 failed, or not fresh; 2 a wrong setting or usage; 3 a server cannot be
reached or a topic is missing; 4 Kafka refuses us (a wrong password, no permission); 130 interrupted.
"""

import io
import logging
import sys
from typing import IO, Final

import click

from bridge.delivery import PublishError
from bridge.inspect_command import inspect
from bridge.letters_command import dead_letters
from bridge.publish import check_lines, publish_lines
from bridge.replay_command import replay
from bridge.reporting import LOG_FORMAT, reported
from bridge.run import run as run_bridge
from bridge.settings import BridgeSettings, kafka_properties, refuse_unknown_settings
from bridge.topics import reach_kafka
from bridge.verify_command import verify
from tasks.contract import JSON
from tasks.settings import SettingsError, TaskSettings, load
from tasks.startup import wait_for

SHOW_HELP: Final = object()
"""Click's ``obj`` where a command line without a subcommand asks for help, and joins no consumer group."""


@click.group(invoke_without_command=True)
@click.version_option(package_name="lastword")
@click.pass_context
def main(context: click.Context) -> None:
    """Make Redis hold every product's last word: never an older one, never none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's or the pipe's encoding lacks is an escape there, as it is on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    if context.invoked_subcommand is not None:
        return
    if context.obj is SHOW_HELP:
        click.echo(context.get_help())
    else:
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
@click.option("--check", "only_check", is_flag=True, help="Publish nothing: say which lines are invalid, and why.")
def publish(source: str, *, unchecked: bool, only_check: bool) -> None:
    """Publish changes from SOURCE, a file with one JSON object a line, or from standard input (-).

    Each line becomes one record with the product id as its key. The first invalid line ends it; --check finds them
    all beforehand. The same file may be published again: older versions never win.
    """
    if unchecked and only_check:
        raise click.UsageError("--check and --unchecked exclude each other")
    # What librdkafka has to say while it still tries is no news; what fails in the end is reported.
    logging.basicConfig(level=logging.ERROR, format=LOG_FORMAT)
    with reported():
        refuse_unknown_settings()
        # Where it publishes, REDIS_URL may be somebody else's.
        settings, task_settings = load(BridgeSettings), load(TaskSettings, redis_url="redis://")
        if task_settings.format != JSON and not unchecked:
            raise SettingsError(
                f"setting LASTWORD_FORMAT: given {task_settings.format!r}; what is published here is {JSON!r}, which a "
                "bridge with that setting does not read; --unchecked publishes the lines as they are"
            )
        if only_check:
            with open_source(source) as lines:
                check_lines(lines, task_settings.rules)
            return
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


for command in (dead_letters, inspect, replay, verify):
    main.add_command(command)
