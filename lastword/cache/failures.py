"""Recorded permanent failures: the worker's word to the bridge that an update will never be applied."""

import msgspec

from lastword.contract.version import Version

LOADED = "Loaded"
"""In the place of an error: what was loaded for the update is held, at a version that does not compare with its own."""

FAILURE_PREFIX = "lastword:failed:"
"""What precedes the id in the Redis key of a failure: that of the update's first task, whichever send has failed."""


class TaskFailure(msgspec.Struct, frozen=True):
    """Why the update whose first task is ``task_id``, as sent with ``nonce``, can never apply ``version``.

    ``error`` is the name of the exception's class, ``message`` what it said.
    """

    task_id: str
    version: Version
    nonce: str
    error: str
    message: str


def failure_key(task_id: str) -> str:
    """The Redis key under which a failure of ``task_id`` is recorded."""
    return f"{FAILURE_PREFIX}{task_id}"


def encode(failure: TaskFailure) -> bytes:
    """The JSON that is stored for ``failure``; what UTF-8 cannot carry is escaped, so that any message is recorded."""
    message = failure.message.encode(errors="backslashreplace").decode()
    return msgspec.json.encode(msgspec.structs.replace(failure, message=message))


def decode(stored: bytes) -> TaskFailure:
    """Read what ``encode`` wrote; ValueError says what is wrong with anything else."""
    return msgspec.json.decode(stored, type=TaskFailure)
