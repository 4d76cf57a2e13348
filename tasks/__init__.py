"""The update contract, the product locks, the cache, and the Celery task that brings them together."""

from tasks.worker import app

__all__ = ["app"]
