"""Whether Celery's settings are ours: a ``celeryconfig.py`` in the working folder comes before this project's own."""

import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
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
    "broker_url",
    "broker_use_ssl",
    "imports",
    "task_acks_late",
    "task_default_queue",
    "task_ignore_result",
    "task_reject_on_worker_lost",
    "task_serializer",
    "worker_consumer",
    "worker_enable_prefetch_count_reduction",
    "worker_pool",
    "worker_send_task_events",
)
"""The settings of ours on which the flow, its speed or its figures rest."""

LEFT_TO_CELERY: Final[Mapping[str, object]] = {
    # Where tasks go, and who reads them.
    "broker_read_url": None,
    "broker_write_url": None,
    "task_default_exchange": None,
    "task_default_exchange_type": "direct",
    "task_default_queue_type": "classic",
    "task_default_routing_key": None,
    "task_queues": None,
    "task_routes": None,
    # Whether a task is taken, and when.
    "broker_connection_retry": True,
    "task_always_eager": False,
    "task_annotations": None,
    "task_default_rate_limit": None,
    "task_protocol": 2,
    "worker_disable_prefetch": False,
    "worker_eta_task_limit": None,
    # What Flower and `lastword inspect` hear of workers.
    "control_exchange": "celery",
    "event_exchange": "celeryev",
    "event_serializer": "json",
    "worker_enable_remote_control": True,
}
"""Settings on which it rests as well, and of which ours says nothing: Celery's own values."""

KEY_PREFIX: Final = "global_keyprefix"
"""A transport option that puts a queue elsewhere; ours has it only where CELERY_BROKER_TRANSPORT_OPTIONS does."""

WAY_OUT: Final = "begin the file with `from lastword.celeryconfig import *`, and change what you want below it"


def read_settings(app: Celery) -> Any:  # noqa: ANN401 - Celery's stubs lack most names
    """Celery's settings, from ``celeryconfig.py``; SettingsError names the file and the error where it has one."""
    try:
        # Celery itself would import a file that fails once more, as something else, and tell of that.
        app.loader.import_from_cwd("celeryconfig")
        app.conf.get("imports")  # the first that is asked for has them all read
    except Exception as error:  # the edge to the user's code
        spec = PathFinder.find_spec("celeryconfig", [str(Path.cwd()), *sys.path])
        file = (spec and spec.origin) or "celeryconfig.py"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f" (line {lines[-1]})" if lines else ""  # a SyntaxError says it itself
        raise SettingsError(f"{file}: {type(error).__name__}: {' '.join(str(error).split())}{where}") from error
    return app.conf


def mind_foreign_settings(app: Celery) -> None:
    """Say which of Celery's settings differ from ours, if they come from another file; a line for each.

    Raises:
        SettingsError: the file cannot be read, or with it no task could arrive.
    """
    conf = read_settings(app)
    differing = list(_differing(conf))
    file = Path(getattr(sys.modules.get("celeryconfig"), "__file__", None) or "celeryconfig.py").absolute()
    for name, given, ours in differing:
        complain(f"{file}: {name} is {_shown(name, given)}; Lastword's own is {_shown(name, ours)}")
    if not differing:
        return
    reason = _refusal(conf)
    if reason:
        raise SettingsError(f"{file}: {reason}; {WAY_OUT}")
    complain(f"{file}: to have the others as they are, {WAY_OUT}")


def _refusal(conf: Any) -> str:  # noqa: ANN401 - as above
    """Why nothing can come of anything with these settings, "" where it can."""
    queue = conf.task_default_queue
    if queue == CELERYS_QUEUE:
        return (
            f"no task would arrive: the queue is {CELERYS_QUEUE!r}, Celery's own default, and the flow's is "
            f"{celeryconfig.task_default_queue!r}"
        )
    if not {"json", "application/json"} & set(conf.accept_content):
        return f"no task would be taken: they are JSON, accept_content is {conf.accept_content!r}"
    # A queue that is not listed is made where it is asked for, and read, unless that is forbidden.
    if conf.task_queues and queue not in _names(conf.task_queues) and not conf.task_create_missing_queues:
        return f"no task would arrive: {queue!r} is not in task_queues, and task_create_missing_queues is False"
    if conf.task_always_eager:
        return "no task could be tried again after a pause: with task_always_eager it would be run again at once"
    return ""


def _differing(conf: Any) -> Iterator[tuple[str, object, object]]:  # noqa: ANN401 - as above
    for name in EXPECTED:
        if not hasattr(celeryconfig, name):  # it depends on the broker
            continue
        ours = getattr(celeryconfig, name)
        given = conf.broker_url if name == "broker_url" else conf.get(name)  # of this the environment's comes first
        if isinstance(ours, Mapping):
            given = given if isinstance(given, Mapping) else {}
            pairs = {key: (given.get(key), ours.get(key)) for key in (*ours, KEY_PREFIX)}
            yield from ((f"{name}[{key!r}]", *pair) for key, pair in pairs.items() if pair[0] != pair[1])
        elif (list(given or ()) != list(ours)) if isinstance(ours, tuple | list) else given != ours:
            yield name, given, ours
    for name, ours in LEFT_TO_CELERY.items():
        given = conf.get(name)
        if (given or None) != (ours or None):
            yield name, given, ours


def _shown(name: str, value: object) -> str:
    """A value for a person, without what may be secret."""
    if name.endswith("_url") and isinstance(value, str):
        return repr(_without_password(value))
    if name == "task_queues" and value:
        return repr(_names(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: ...' for key in value)}}}"
    return repr(value)


def _without_password(url: str) -> str:
    """A URL without its password, whatever that looks like, and without options, which may hold another."""
    hidden = (re.sub("://([^:@]*):.*@", r"://\1:**@", part, flags=re.DOTALL) for part in re.split(r";(?=\w+://)", url))
    return ";".join(part.partition("?")[0] for part in hidden)


def _names(queues: Any) -> list[str]:  # noqa: ANN401 - Celery takes a mapping or a sequence
    return [str(getattr(queue, "name", queue)) for queue in queues]
