"""Whether Celery's settings are ours: a ``celeryconfig.py`` in the working folder comes before this project's own."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from celery import Celery

from lastword import celeryconfig
from lastword.process.startup import complain
from lastword.settings.shared import SettingsError

CELERYS_QUEUE: Final = "celery"
"""Where Celery puts tasks unless told otherwise: nobody who wants to serve a flow would call its queue so."""

EXPECTED: Final = (
    "accept_content",
    "broker_connection_max_retries",
    "broker_connection_retry_on_startup",
    "broker_transport_options",
    "imports",
    "task_acks_late",
    "task_default_queue",
    "task_ignore_result",
    "task_reject_on_worker_lost",
    "worker_consumer",
    "worker_enable_prefetch_count_reduction",
    "worker_pool",
    "worker_send_task_events",
)
"""The settings on which the flow, its speed or its figures rest."""


def mind_foreign_settings(app: Celery) -> None:
    """Say which of Celery's settings differ from ours, if they come from another file; a line for each.

    Raises:
        SettingsError: with them no task could arrive.
    """
    differing = list(_differing(app.conf))  # reads the file, if nobody has before
    place = Path(getattr(sys.modules.get("celeryconfig"), "__file__", None) or "celeryconfig.py").absolute()
    for name, given, ours in differing:
        complain(f"{place}: {name} is {given!r}; Lastword's own is {ours!r}")
    if not differing:
        return
    way_out = "begin the file with `from lastword.celeryconfig import *`, and change what you want below it"
    if app.conf.task_default_queue == CELERYS_QUEUE:
        raise SettingsError(
            f"{place}: no task would arrive: the queue is {CELERYS_QUEUE!r}, Celery's own default, and the flow's is "
            f"{celeryconfig.task_default_queue!r}; {way_out}"
        )
    if not {"json", "application/json"} & set(app.conf.accept_content):
        raise SettingsError(
            f"{place}: no task would be taken: they are JSON, accept_content is {app.conf.accept_content!r}; {way_out}"
        )
    complain(f"{place}: to have the others as they are, {way_out}")


def _differing(conf: Any) -> Iterator[tuple[str, object, object]]:  # noqa: ANN401 - Celery's stubs lack most names
    for name in EXPECTED:
        given, ours = conf.get(name), getattr(celeryconfig, name)
        if isinstance(ours, Mapping):
            given = given or {}
            yield from ((f"{name}[{key!r}]", given.get(key), ours[key]) for key in ours if given.get(key) != ours[key])
        elif (list(given or ()) != list(ours)) if isinstance(ours, tuple | list) else given != ours:
            yield name, given, ours
