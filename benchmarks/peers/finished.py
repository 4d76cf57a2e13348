"""Says on standard output when a worker is ready, has begun, and has finished as many tasks as UPDATES says."""

import os
import threading
import time
from typing import Any

from celery import signals
from celery.worker import state

LOOK_EVERY_S = 0.01


@signals.worker_ready.connect
def watch(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Watch the worker's own counts from a thread of its main process: the tasks themselves carry no bookkeeping."""
    threading.Thread(target=_watch, args=(int(os.environ["UPDATES"]),), daemon=True).start()


def _watch(updates: int) -> None:
    print("ready for tasks", flush=True)
    while not state.all_total_count[0]:
        time.sleep(LOOK_EVERY_S)
    print("first task", flush=True)
    while state.all_total_count[0] < updates or state.active_requests:
        time.sleep(LOOK_EVERY_S)
    print("finished all tasks", flush=True)
