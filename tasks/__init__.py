"""The update contract, the product locks, the cache, and the Celery task that brings them together."""

import tasks.flower  # noqa: F401 - makes `celery -A tasks flower` safe
from tasks.worker import app

__all__ = ["app"]
