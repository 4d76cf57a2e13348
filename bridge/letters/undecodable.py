"""Records that do not decode: a few are dead letters, many in a row of one partition mean that the format is wrong.

Source: docs/decisions/0008-giving-up-on-evidence.md
"""

from typing import Final

from bridge.letters.dead_letters import DeadLetter

QUIET_S: Final = 5.0
"""How long a run waits for its next record before its letters are sent."""


class Undecodable:
    """Holds the letters of a partition's run of such records until it is over, or so long that they must not be sent.

    A run is over with a record that decodes. Its letters also go when no further record has come for a while, or when
    there is no room for one. ``most`` is how many records in a row may be dead letters.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.begin()

    def begin(self) -> None:
        """Forget all that there was."""
        self._count = 0
        self._first_offset = 0
        self._grown = 0.0
        self._held: list[DeadLetter] = []
        self._over: list[DeadLetter] = []

    def add(self, letter: DeadLetter, now: float) -> str:
        """Take in a record that does not decode; return why its partition must pause, "" if it need not."""
        if not self._count:
            self._first_offset = letter.entry.record.offset
        self._count += 1
        self._held.append(letter)
        self._grown = now
        if self._count <= self._most:
            return ""
        return (
            f"more than {self._most} records in a row, from offset {self._first_offset} on, are no updates, so their "
            f"format must be wrong (LASTWORD_UNDECODABLE_MAX). The last of them: {letter.reason}"
        )

    def end(self) -> None:
        """Take note of a record that decodes."""
        self._over += self._held
        self._held, self._count = [], 0

    def sendable(self, now: float) -> list[DeadLetter]:
        """Return the letters that may be sent, each once."""
        if self._held and self._count <= self._most:
            full = self._held[-1].entry.record.partition.full
            if self._grown + QUIET_S <= now or full:
                self._over += self._held
                self._held = []
        letters, self._over = self._over, []
        return letters

    @property
    def held(self) -> int:
        """How many letters have not been sent."""
        return len(self._held)
