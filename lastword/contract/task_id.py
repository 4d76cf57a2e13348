"""A task's id: the first task of an update has the id of its record, and each repetition an id of its own. Pure.

Celery remembers a revoked task by its id, for hours, and a worker that starts learns it from the others: what has the
same id is discarded as well.
"""

from typing import Final

_REPETITION: Final = "@"
"""In no name of a topic, and in a URL it is itself: Flower puts ids into URLs as they are."""


def repetition_id(record_id: str, number: int, nonce: str) -> str:
    """Return the id of the task that is an update's send of this number, the second or a later one.

    With the nonce, for another bridge counts from one again.
    """
    return f"{record_id}{_REPETITION}{number}-{nonce}"


def record_id(task_id: str) -> str:
    """Return what the ids of all sends of an update begin with, under which failures and marks are kept in Redis."""
    return task_id.partition(_REPETITION)[0]
