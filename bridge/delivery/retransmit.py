"""When an update that is not confirmed is sent again. Pure: every method is told the time.

The rules are TCP's, for a network that may lose, repeat and reorder tasks: a measured timeout (RFC 6298), loss seen
from what was sent later and confirmed sooner (RFC 8985), and probes when nothing at all comes back.
Source: docs/decisions/0002-retransmission.md
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final, Generic, TypeVar

from lastword.contract.task import TASK_LIFE_S

SMOOTHING: Final = 1 / 8
VARIATION: Final = 1 / 4


@dataclass(frozen=True, slots=True)
class Clocks:
    """The bounds of every timeout, in seconds, and how many updates one probe sends."""

    floor_s: float = 2.0
    max_s: float = 600.0
    silence_max_s: float = 60.0
    task_life_s: float = TASK_LIFE_S
    probes: int = 10


class Timeout:
    """The smoothed time from send to confirmation plus four deviations (RFC 6298), at least the floor."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._smoothed: float | None = None
        self._deviation = 0.0

    def sample(self, seconds: float) -> None:
        """Take one measured time to confirm into account."""
        if self._smoothed is None:
            self._smoothed, self._deviation = seconds, seconds / 2
            return
        self._deviation += VARIATION * (abs(self._smoothed - seconds) - self._deviation)
        self._smoothed += SMOOTHING * (seconds - self._smoothed)

    @property
    def smoothed_s(self) -> float:
        """How long it takes of late from send to confirmation; 0 as long as nothing was measured."""
        return self._smoothed or 0.0

    @property
    def value_s(self) -> float:
        """The timeout of an update that is sent for the first time."""
        measured_s = 0.0 if self._smoothed is None else self._smoothed + 4 * self._deviation
        return min(max(measured_s, self._clocks.floor_s), self._clocks.max_s)


@dataclass(eq=False, slots=True)
class Sending:
    """What retransmission knows about one update: when it was sent, and how long to wait for it.

    ``attempts`` are the ``sends`` and those that failed but may have left all the same; ``number`` is the last send's.
    """

    sends: int = 0
    attempts: int = 0
    first_sent: float = 0.0
    last_sent: float = 0.0
    timeout_s: float = 0.0
    number: int = 0

    @property
    def due(self) -> float:
        """When its own timeout has passed."""
        return self.last_sent + self.timeout_s


S = TypeVar("S", bound=Sending)

_Due = tuple[float, int]
"""When the timeout of a send passes, and the send's number: not the update, whose memory is free once it is done."""


class Retransmission(Generic[S]):
    """Decides which of the updates that were sent are presumed lost."""

    def __init__(self, clocks: Clocks, *, is_overtaken: Callable[[S], bool] = lambda _: False) -> None:
        self._clocks = clocks
        self._is_overtaken = is_overtaken
        self.timeout = Timeout(clocks)
        self._numbers = count(1)
        self._by_send: OrderedDict[int, S] = OrderedDict()
        self._by_sends: dict[int, OrderedDict[int, S]] = {}
        self._by_due: list[_Due] = []
        self._presumed: list[_Due] = []
        self._presumed_before = -math.inf
        self._newest_answered = -math.inf
        self._last_answer = -math.inf
        self._silence_s: float | None = None
        self._next_probe = math.inf
        self._silence_ended: float | None = None

    def __len__(self) -> int:
        return len(self._by_send)

    @property
    def silent(self) -> bool:
        """Whether updates are in flight and nothing has come back for a timeout."""
        return self._silence_s is not None

    def sent(self, sending: S, now: float) -> None:
        """Note that it was sent just now; its own timeout doubles with each send."""
        self.forget(sending)
        self.attempted(sending, now)
        sending.sends += 1
        sending.timeout_s = self._timeout_s(sending.sends)
        sending.last_sent = now
        sending.number = next(self._numbers)
        self._by_send[sending.number] = sending
        self._by_sends.setdefault(sending.sends, OrderedDict())[sending.number] = sending
        if len(self._by_due) > 1_000 + 2 * len(self._by_send):
            self._by_due = [entry for entry in self._by_due if entry[1] in self._by_send]
            heapq.heapify(self._by_due)
        heapq.heappush(self._by_due, (sending.due, sending.number))

    def attempted(self, sending: S, now: float) -> None:
        """Note that sending it failed just now, though it may have left: it is not watched, its timeout is the same."""
        if not sending.attempts:
            sending.first_sent = now
        sending.attempts += 1

    def confirmed(self, sending: S, now: float, *, itself: bool) -> None:
        """Note that the cache holds it; ``itself``: this very version, not a newer one that overtook it.

        Only an update that arrived itself proves that tasks of its time get through. Of one that left twice or more, or
        may have, nobody knows which send it was: no sample is taken (Karn), and the first one counts.
        """
        if sending.sends and itself:
            self._newest_answered = max(self._newest_answered, sending.first_sent)
            if sending.attempts == 1:
                self.timeout.sample(now - sending.last_sent)
        self.forget(sending)
        self._last_answer = now
        if self._silence_s is not None:
            self._silence_s, self._next_probe = None, math.inf
            self._silence_ended = now

    def forget(self, sending: S) -> None:
        """Stop watching it: confirmed, given up, or its partition went away."""
        if self._by_send.pop(sending.number, None) is not None:
            alike = self._by_sends[sending.sends]
            del alike[sending.number]
            if not alike:
                del self._by_sends[sending.sends]

    def lost(self, now: float) -> list[S]:
        """Return what is to be sent again now; it is no longer watched until ``sent`` is called for it."""
        lost = self._due_until(self._by_due, self._newest_answered)
        lost += self._waiting_too_long(self._newest_answered)
        lost += self._since_before_the_silence(now)
        self._hear(now)
        lost += self._probes(now) if self.silent else self._expired(now)
        return lost

    def _timeout_s(self, sends: int) -> float:
        """The timeout of an update that is sent for so many times, as it would be now."""
        return min(self.timeout.value_s * (1 << min(sends - 1, 32)), self._clocks.max_s)

    def _is_due(self, sending: S, now: float) -> bool:
        return sending.due <= now or sending.last_sent + self._timeout_s(sending.sends) <= now

    def _waiting_too_long(self, time: float, *, sent_before: float = math.inf) -> list[S]:
        """What would have been due by then, had it been sent with the timeout of now.

        A timeout that was long when it was sent, for nothing came back then, is not kept to once answers come quickly:
        TCP too waits for the current one (RFC 6298, 5.3).
        """
        overdue: list[S] = []
        for sends, alike in self._by_sends.items():
            until = time - self._timeout_s(sends)
            for sending in alike.values():
                if sending.last_sent > until or sending.last_sent >= sent_before:
                    break
                overdue.append(sending)
        return self._taken(overdue)

    def _due_until(self, heap: list[_Due], time: float) -> list[S]:
        due = []
        while heap and heap[0][0] <= time:
            sending = self._by_send.get(heapq.heappop(heap)[1])
            if sending is not None:
                due.append(sending)
        return self._taken(due)

    def _since_before_the_silence(self, now: float) -> list[S]:
        """What was sent before a silence ended, has not come back one timeout later, nor within its own timeout."""
        ended = self._silence_ended
        if ended is not None and now >= ended + self.timeout.value_s:
            self._silence_ended, self._presumed_before = None, ended
            before = takewhile(lambda sending: sending.last_sent < ended, self._by_send.values())
            self._presumed = [(sending.due, sending.number) for sending in before]
            heapq.heapify(self._presumed)
        if self.silent:
            return []  # only probes are sent
        return self._due_until(self._presumed, now) + self._waiting_too_long(now, sent_before=self._presumed_before)

    def _hear(self, now: float) -> None:
        """Enter a silence: nothing came back for a timeout, since the last answer and since the oldest send."""
        if not self._by_send:
            self._silence_s, self._next_probe = None, math.inf
        elif self._silence_s is None:
            oldest = next(iter(self._by_send.values()))
            if now >= max(self._last_answer, oldest.last_sent) + self.timeout.value_s:
                self._silence_s, self._next_probe = self.timeout.value_s, now

    def _probes(self, now: float) -> list[S]:
        """In a silence a few, among those whose own timeout has passed: those sent least often, and longest ago.

        What has been sent again and again may be held up by something of its own, and tells nothing of the others. What
        is overtaken would not be sent at all.
        """
        if self._silence_s is None or now < self._next_probe:
            return []
        due = (
            sending
            for sending in self._by_send.values()
            if self._is_due(sending, now) and not self._is_overtaken(sending)
        )
        probes = heapq.nsmallest(self._clocks.probes, due, key=lambda sending: (sending.sends, sending.number))
        if probes:
            self._silence_s = min(self._silence_s * 2, self._clocks.silence_max_s)
        self._next_probe = now + self._silence_s
        return self._taken(probes)

    def _expired(self, now: float) -> list[S]:
        """What no worker retries any longer: its task's life is over."""
        life_s = self._clocks.task_life_s
        return self._taken(list(takewhile(lambda sending: sending.last_sent + life_s <= now, self._by_send.values())))

    def _taken(self, sendings: list[S]) -> list[S]:
        for sending in sendings:
            self.forget(sending)
        return sendings
