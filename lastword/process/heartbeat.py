"""A file whose age says when a process's loop last went round: for health checks that start no Python."""

import contextlib
import time
from pathlib import Path
from typing import Final

from lastword.settings.shared import SettingsError

BEAT_EVERY_S: Final = 2.0


class Heartbeat:
    """Touches a file now and then; without a path it does nothing.

    A file left by an earlier run is removed, so that nobody takes this process for ready before its first beat.
    SettingsError when the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next = 0.0
        if path is None:
            return
        try:
            path.touch()
            path.unlink()
        except OSError as error:
            raise SettingsError(
                f"setting LASTWORD_HEARTBEAT_FILE: given {str(path)!r}; it cannot be written: {error.strerror}"
            ) from error

    def beat(self) -> None:
        """Touch the file, at most every two seconds; whoever calls it goes on even where that fails."""
        now = time.monotonic()
        if self._path is not None and now >= self._next:
            self._next = now + BEAT_EVERY_S
            with contextlib.suppress(OSError):  # the file grows old, which is what a health check looks for
                self._path.touch()
