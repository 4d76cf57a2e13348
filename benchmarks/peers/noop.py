"""A Celery task that does nothing, under the project's own Celery settings: what a broker and a pool can do at most."""

from celery import Celery

import benchmarks.peers.finished  # noqa: F401 - watches the worker

app = Celery("noop")
app.config_from_object("celeryconfig")
app.conf.imports = ()


@app.task(name="noop")
def noop() -> None:
    """Do nothing."""
