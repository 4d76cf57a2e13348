"""``lastword run``: the bridge."""

import logging
from typing import Final

import click

from bridge.run import run as run_bridge
from lastword.commands.reporting import LOG_FORMAT, reported
from lastword.settings.bridge import BridgeSettings, refuse_unknown_settings
from lastword.settings.shared import TaskSettings, load

PARTITIONS: Final = 8
"""Of a topic that is created, where LASTWORD_CREATE_TOPICS says nothing else."""


@click.command()
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
        if create_topics and not settings.create_topics:
            settings = settings.model_copy(update={"create_topics": PARTITIONS})
        run_bridge(settings, load(TaskSettings))
