"""The service and the relay, which stand still at one step until they are killed: ``STALL_AT``, ``STALL_FILE``."""

import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from examples.shop import relay, service
from lastword.publisher.publisher import Publisher


def _stand_still() -> None:
    file = Path(os.environ["STALL_FILE"])
    if not file.exists():
        file.touch()
        time.sleep(600)


def _before(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def stalled(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the call has
        _stand_still()
        return call(*args, **kwargs)

    return stalled


def _after(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def stalled(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the call has
        answer = call(*args, **kwargs)
        _stand_still()
        return answer

    return stalled


_POINTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "before publishing": (Publisher, "publish", _before),
    "between publish and flush": (Publisher, "flush", _before),
    "between publish and mark": (Publisher, "flush", _after),
    "after the mark": (relay, "relay_once", _after),
}


_COMMITS = {"before the commit": "before_commit", "after the commit": "after_commit"}


def _stall() -> None:
    at = os.environ["STALL_AT"]
    if at in _COMMITS:
        event.listen(Session, _COMMITS[at], lambda _: _stand_still())
        return
    kind, name, wrap = _POINTS[at]
    setattr(kind, name, wrap(getattr(kind, name)))


def stalled_service() -> object:
    """A factory for uvicorn."""
    _stall()
    return service.from_environment()


if __name__ == "__main__":
    _stall()
    relay.main()
