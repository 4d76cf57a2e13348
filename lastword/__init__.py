"""Makes Redis hold every row's last word: the library, and the command of the same name."""

from lastword.process import interrupt

# As typing has it. Importing that takes a moment, in which Ctrl-C would be a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from lastword.contract.change import Change
    from lastword.contract.record import InvalidUpdateError
    from lastword.publisher.publish_errors import BufferFullError, DeliveryError, Failure, PublishError
    from lastword.publisher.publisher import Publisher

__all__ = [
    "BufferFullError",
    "Change",
    "DeliveryError",
    "Failure",
    "InvalidUpdateError",
    "PublishError",
    "Publisher",
]

_WHERE = {
    "Change": "contract.change",
    "InvalidUpdateError": "contract.record",
    "Publisher": "publisher.publisher",
    "BufferFullError": "publisher.publish_errors",
    "DeliveryError": "publisher.publish_errors",
    "Failure": "publisher.publish_errors",
    "PublishError": "publisher.publish_errors",
}

interrupt.stand_behind_import(__name__, script="lastword")


def __getattr__(name: str) -> object:
    """Import what is asked for, when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - it takes a moment, in which Ctrl-C would be a traceback

    return getattr(importlib.import_module(f"lastword.{_WHERE[name]}"), name)
