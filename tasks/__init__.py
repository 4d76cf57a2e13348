"""The update contract, the product locks, the cache, and the Celery task that brings them together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.worker import app

__all__ = ["app"]


def __getattr__(name: str) -> object:
    """Make the Celery app when it is asked for, as ``celery -A tasks`` does."""
    # Not on import: the app made last is Celery's current one, and a service that publishes may have its own.
    if name == "app":
        from tasks.worker import app  # noqa: PLC0415

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
