"""What the bridge hands to a worker: an update and how long it may be retried, or many, in numbered formats."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from lastword.contract.errors import TransientError
from lastword.contract.fields import entity_id_of
from lastword.contract.flow import Destination
from lastword.contract.record import Update
from lastword.contract.version import VERSION_LIMIT, Version

TASK_NAME: Final = "tasks.update_product"
BATCH_NAME: Final = "tasks.update_products"

FORMAT: Final = 1

TASK_LIFE_S: Final = 600
"""How long after it was sent a task may still be retried."""


class UnknownFormatError(TransientError):
    """The task was enqueued by a release that this worker does not understand; another worker may."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """One send of one update.

    ``nonce`` tells this send from every other of the same task. ``first_sent`` and ``not_after`` are seconds since the
    epoch by the bridge's clock: past ``not_after`` a worker no longer retries, for the bridge sends the update again.
    ``marked``: the update has been sent in vain before and may be what kills workers; lastword/cache/started.py
    says what follows. ``to``: where it belongs, None in a task of an older release. A release that does not know one of
    these fields runs the update like any other.
    """

    update: Update
    nonce: str
    first_sent: float
    not_after: float
    marked: bool = False
    to: Destination | None = None


class Send(NamedTuple):
    """One send of one update, and the id of the task that carries it alone."""

    task_id: str
    arguments: Arguments


_Time = Annotated[int, msgspec.Meta(ge=0, lt=VERSION_LIMIT)]


class _Body(msgspec.Struct, omit_defaults=True):
    id: str
    version: str
    nonce: str
    first_sent: float
    not_after: float
    data: str | None = None
    deleted: bool = False
    marked: bool = False
    numbered: bool = False
    time_us: _Time | None = None
    to: Destination | None = None


class _Part(msgspec.Struct, array_like=True):
    task_id: str
    id: str
    version: str
    data: str | None = None
    deleted: bool = False
    time_us: _Time | None = None


class _Batch(msgspec.Struct, omit_defaults=True):
    nonce: str
    first_sent: float
    not_after: float
    updates: list[_Part]
    to: Destination | None = None


def encode(arguments: Arguments) -> list[Any]:
    """Return the positional arguments of the Celery task, for msgspec to encode: the format's number and an object."""
    update = arguments.update
    body = _Body(
        id=update.entity_id,
        version=str(update.version),
        nonce=arguments.nonce,
        first_sent=arguments.first_sent,
        not_after=arguments.not_after,
        data=None if update.data is None else update.data.decode(),
        deleted=update.deleted,
        marked=arguments.marked,
        numbered=update.numbered,
        time_us=update.time_us,
        to=arguments.to,
    )
    return [FORMAT, body]


def decode(number: object, body: object) -> Arguments:
    """Read what ``encode`` made.

    Raises:
        UnknownFormatError: another format, or not what this one says.
    """
    _refuse_another(number)
    try:
        parts = msgspec.convert(body, _Body)
        update = _update(parts)
    except ValueError as error:
        raise _misfit(error) from error
    return Arguments(
        update=update,
        nonce=parts.nonce,
        first_sent=parts.first_sent,
        not_after=parts.not_after,
        marked=parts.marked,
        to=parts.to,
    )


def shown(arguments: Arguments) -> str:
    """What Flower and Celery's logs show as the arguments: no data, and nothing long."""
    update, to = arguments.update, arguments.to
    return f"({update.entity_id!r}, {update.version}{to.shown if to else ''})"


def encode_batch(sends: Sequence[Send]) -> list[Any]:
    """Return the positional arguments of a task that carries several updates, all sent now and for the first time."""
    first = sends[0].arguments
    parts = [
        _Part(
            task_id=task_id,
            id=update.entity_id,
            version=str(update.version),
            data=None if update.data is None else update.data.decode(),
            deleted=update.deleted,
            time_us=update.time_us,
        )
        for task_id, update in ((send.task_id, send.arguments.update) for send in sends)
    ]
    return [FORMAT, _Batch(first.nonce, first.first_sent, first.not_after, parts, first.to)]


def decode_batch(number: object, body: object) -> list[Send]:
    """Read what ``encode_batch`` made; the sends of one task have one nonce.

    Raises:
        UnknownFormatError: another format, or not what this one says.
    """
    _refuse_another(number)
    try:
        batch = msgspec.convert(body, _Batch)
        return [
            Send(
                part.task_id,
                Arguments(
                    update=_update(part),
                    nonce=batch.nonce,
                    first_sent=batch.first_sent,
                    not_after=batch.not_after,
                    to=batch.to,
                ),
            )
            for part in batch.updates
        ]
    except ValueError as error:
        raise _misfit(error) from error


def destination(sends: Sequence[Send]) -> Destination | None:
    """Where the updates of one task belong, which is the same for all."""
    return sends[0].arguments.to if sends else None


def _refuse_another(number: object) -> None:
    if number != FORMAT:
        raise UnknownFormatError(f"task arguments of format {number!r:.40}; this worker understands {FORMAT}")


def _misfit(error: ValueError) -> UnknownFormatError:
    return UnknownFormatError(f"task arguments of format {FORMAT} that do not fit it: {error}")


def _update(parts: _Body | _Part) -> Update:
    return Update(
        entity_id=entity_id_of(parts.id),
        version=Version.parse(parts.version),
        data=None if parts.data is None else parts.data.encode(),
        deleted=parts.deleted,
        numbered=isinstance(parts, _Body) and parts.numbered,
        time_us=parts.time_us,
    )
