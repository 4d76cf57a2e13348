"""The Celery worker: takes the entity lock, checks freshness, writes Redis, and releases the lock."""

from lastword.process import interrupt

# As typing has it. Importing that takes a moment, in which Ctrl-C would be a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from tasks.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> object:
    """Make the Celery app when it is asked for, as ``celery -A tasks`` does."""
    # Not on import: the app made last is Celery's current one, and a service that publishes may have its own.
    if name == "app":
        command = interrupt.celery_command()
        if command:
            interrupt.leave_at_once()
        from tasks import worker  # noqa: PLC0415 - what a worker does at its start
        from tasks.celery_app import app  # noqa: PLC0415

        if command:
            worker.refuse_unreadable_settings()  # a command's own options ask for them, before a worker starts
        if command not in {"worker", "flower"}:  # which say themselves when they have begun something
            interrupt.as_python_does()
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
