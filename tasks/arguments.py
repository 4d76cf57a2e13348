"""What the bridge hands to a worker: one update and how long it may be retried, in a numbered format."""

from typing import Any, Final

import msgspec

from tasks.contract import Update
from tasks.errors import TransientError
from tasks.fields import product_id_of
from tasks.version import Version

TASK_NAME: Final = "tasks.update_product"

FORMAT: Final = 1


class UnknownFormatError(TransientError):
    """The task was enqueued by a release that this worker does not understand; another worker may."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """One send of one update.

    ``nonce`` tells this send from every other of the same task. ``first_sent`` and ``not_after`` are seconds since the
    epoch by the bridge's clock: past ``not_after`` a worker no longer retries, for the bridge sends the update again.
    ``marked``: the update has been sent in vain before and may be what kills workers; tasks/started.py says what
    follows. A release that does not know the field runs the update like any other.
    """

    update: Update
    nonce: str
    first_sent: float
    not_after: float
    marked: bool = False


class _Body(msgspec.Struct, omit_defaults=True):
    id: str
    version: str
    nonce: str
    first_sent: float
    not_after: float
    data: str | None = None
    deleted: bool = False
    marked: bool = False


def pack(arguments: Arguments) -> list[Any]:
    """Return the positional arguments of the Celery task, for msgspec to encode: the format's number and an object."""
    update = arguments.update
    body = _Body(
        id=update.product_id,
        version=str(update.version),
        nonce=arguments.nonce,
        first_sent=arguments.first_sent,
        not_after=arguments.not_after,
        data=None if update.data is None else update.data.decode(),
        deleted=update.deleted,
        marked=arguments.marked,
    )
    return [FORMAT, body]


def unpack(number: object, body: object) -> Arguments:
    """Read what ``pack`` made.

    Raises:
        UnknownFormatError: another format, or not what this one says.
    """
    if number != FORMAT:
        raise UnknownFormatError(f"task arguments of format {number!r:.40}; this worker understands {FORMAT}")
    try:
        parts = msgspec.convert(body, _Body)
        update = Update(
            product_id=product_id_of(parts.id),
            version=Version.parse(parts.version),
            data=None if parts.data is None else parts.data.encode(),
            deleted=parts.deleted,
        )
    except ValueError as error:
        raise UnknownFormatError(f"task arguments of format {FORMAT} that do not fit it: {error}") from error
    return Arguments(
        update=update,
        nonce=parts.nonce,
        first_sent=parts.first_sent,
        not_after=parts.not_after,
        marked=parts.marked,
    )
