"""A Redis Cluster: each command goes to the primary that holds its key's slot, each primary's in one pipeline."""

import random
import time
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple

import redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from lastword.redis.pipeline import Answers, Command, Seal, no_retry, sealed
from lastword.redis.server import Server
from lastword.redis.trouble import Trouble
from lastword.redis.url import Address, RedisUrl

SLOTS: Final = 16384
TAGGED: Final = 16
"""How many slots, evenly spread, have a tag whoever owns them: enough for each of as many primaries."""
REDIRECTS: Final = 3  # a slot that is being moved takes two

_ASKING: Final[Command] = ("ASKING",)


class _Failed(NamedTuple):
    """When a node did not answer, and until when it is left alone (monotonic)."""

    at: float
    until: float


class Cluster:
    """A Redis Cluster, as a Client. What one primary does not answer costs the others nothing.

    redis-py's own pipeline of a Cluster sends the commands of a primary that failed again, one after the other, each
    with a timeout of its own; this one sends again only what a primary refused to run (MOVED, ASK).
    """

    def __init__(self, url: RedisUrl, *, call_timeout_s: float) -> None:
        self.address = url.address
        self._start = url.nodes
        self._options = {**url.options, "ssl": "connection_class" in url.options}
        self._options.pop("connection_class", None)
        self._call_timeout_s = call_timeout_s
        self._nodes: dict[Address, Server] = {}
        self._owners: list[Address | None] = []
        self._tags: dict[Address, list[str]] = {}
        self._outdated = True
        self._failed: dict[Address, _Failed] = {}
        self._trouble = Trouble(url.address)

    # Threads share all this without a lock, which a fork might find taken: each step is atomic, and what two do at once
    # is done twice, to the same end.

    def run(self, commands: Sequence[Command], *, on_each: Command | None = None, seal: Seal | None = None) -> Answers:
        """One round trip to each primary concerned, more for slots that have moved.

        Primaries that failed last time are asked last, past the first ``call_timeout_s`` not at all, and not before as
        much time has passed as they kept us waiting.
        """
        deadline = time.monotonic() + self._call_timeout_s
        if not commands and on_each is None and seal is None:
            return Answers([], [])
        failure = self._learn(deadline) if self._outdated else None
        if not self._primaries():
            failure = failure or ClusterDownError("no node names a primary: the slots are not assigned")
            return Answers([failure], [failure] * len(commands))
        each: list[Any] = []
        answers: list[Any] = [None] * len(commands)
        everywhere = self._primaries() if on_each or seal else ()
        batches: dict[Address | None, list[int]] = {primary: [] for primary in everywhere}
        for index, command in enumerate(commands):
            batches.setdefault(self._owners[_slot(command)], []).append(index)
        for address in sorted(batches, key=self._last_failure):
            indices = batches[address]
            first = [on_each] if on_each else []
            asked = [*first, *(commands[index] for index in indices)]
            got, judgement = self._ask_sealed(address, asked, seal, deadline)
            each += [judgement] if seal and address else got[: len(first)]
            for index, answer in zip(indices, got[len(first) :], strict=True):
                answers[index] = answer
        for _ in range(REDIRECTS):
            if not self._follow(commands, answers, on_each, seal, deadline):
                break
        return Answers(each, answers)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        for node in list(self._nodes.values()):
            node.close()

    def _follow(
        self,
        commands: Sequence[Command],
        answers: list[Any],
        on_each: Command | None,
        seal: Seal | None,
        deadline: float,
    ) -> bool:
        """Send what was redirected to where it belongs, and put the new answers in place; False if nothing was.

        A node to which the first slots are being moved is no primary yet, and has had no ``on_each``.
        """
        first = [on_each] if on_each else []
        batches: dict[tuple[Address, bool], list[int]] = {}
        for index, answer in enumerate(answers):
            if isinstance(answer, AskError):  # MOVED is one too
                moved = isinstance(answer, MovedError)
                asked = self._owners[answer.slot_id]
                address = Address(answer.host or (asked.host if asked else ""), answer.port)
                batches.setdefault((address, moved), []).append(index)
                if moved:
                    self._owners[answer.slot_id] = address
                    self._outdated = True
        for (address, moved), indices in batches.items():
            prefix = () if moved else (_ASKING,)
            parts = [part for index in indices for part in (*prefix, commands[index])]
            got = self._ask_sealed(address, [*first, *parts], seal, deadline)[0][len(first) :]
            for index, answer in zip(indices, got[len(prefix) :: len(prefix) + 1], strict=True):
                answers[index] = answer
        return bool(batches)

    def _ask_sealed(
        self, address: Address | None, commands: Sequence[Command], seal: Seal | None, deadline: float
    ) -> tuple[list[Any], RedisError | None]:
        """The answers of one primary, and what the seal judged of it; a node without slots cannot be sealed."""
        if seal is None or address is None:
            return self._ask(address, commands, deadline), None
        if address not in self._tags:
            unknown = _noted(ClusterDownError("no slot of this primary is known yet"), address)
            return [unknown] * len(commands), unknown
        answers, judgement = sealed(
            lambda all_: self._ask(address, all_, deadline), commands, seal, self._tags[address]
        )
        if isinstance(judgement, AskError):
            self._outdated = True
            judgement = _noted(ClusterDownError("the slot of the seal is being moved"), address)
            answers = [judgement] * len(commands)
        return answers, judgement and _noted(judgement, address)

    def _ask(self, address: Address | None, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The answers of one primary; None is the primary of slots that have none."""
        if address is None:
            self._outdated = True
            return [ClusterDownError("no primary serves the slot of this key")] * len(commands)
        began = time.monotonic()
        if address in self._failed and (began >= deadline or began < self._failed[address].until):
            error = RedisTimeoutError("did not answer a moment ago, and is left alone")
            return [_noted(error, address)] * len(commands)
        answers = self._node(address).ask(commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                _noted(answer, address)
        if answers and isinstance(answers[0], RedisConnectionError | RedisTimeoutError):
            now = time.monotonic()
            self._failed[address] = _Failed(now, now + (now - began))
            self._outdated = True
        else:
            self._failed.pop(address, None)
            self._outdated |= any(isinstance(answer, ClusterDownError) for answer in answers)
        return answers

    def _learn(self, deadline: float) -> RedisError | None:
        """Learn who owns which slots from the node that knows of most; the last error if none tells."""
        failure: RedisError | None = None
        unowned = SLOTS + 1
        # At random among equals: a node may know of an old state, and tell it each time.
        nodes = sorted({*self._primaries(), *self._start}, key=lambda node: (self._last_failure(node), random.random()))  # noqa: S311
        for address in nodes:
            [answer] = self._ask(address, [("CLUSTER SLOTS",)], deadline)
            if isinstance(answer, RedisError):
                failure = answer
                continue
            owners = _owners(answer, address)
            if owners.count(None) < unowned:
                unowned = owners.count(None)
                self._owners, self._outdated = owners, bool(unowned)
                self._tags = _tags(owners)
            if not unowned:
                self._whole()
                return None
        if unowned <= SLOTS:
            self._trouble.refused(ClusterDownError(f"no primary serves {unowned} of {SLOTS} slots"), writing=True)
        elif failure and not self._primaries():
            self._trouble.refused(failure, writing=True)
        return failure

    def _whole(self) -> None:
        """Note that each slot has a primary, and that what others were in trouble for is over."""
        self._trouble.served(written=True)
        primaries = self._primaries()
        for address, node in list(self._nodes.items()):
            if address not in primaries:
                node.replaced()

    def _primaries(self) -> set[Address]:
        return {address for address in self._owners if address}

    def _last_failure(self, address: Address | None) -> float:
        return self._failed[address].at if address in self._failed else 0.0

    def _node(self, address: Address) -> Server:
        node = self._nodes.get(address)
        if node is None:
            opened = redis.Redis(*address, retry=no_retry(), **self._options)
            node = self._nodes.setdefault(address, Server(opened, str(address), of_cluster=True))
        return node


def _slot(command: Command) -> int:
    key = command[3] if command[0] == "EVALSHA" else command[1]
    return key_slot(str(key).encode())


def _owners(shards: Iterable[Any], asked: Address) -> list[Address | None]:
    """The primary of each slot, from an answer to CLUSTER SLOTS: start, end, primary, replicas."""
    owners: list[Address | None] = [None] * SLOTS
    for start, end, (host, port, *_), *_ in shards:
        # No host: the one that was asked.
        address = Address(host.decode() if host else asked.host, port)
        owners[start : end + 1] = [address] * (end + 1 - start)
    return owners


def _tags(owners: Sequence[Address | None]) -> dict[Address, list[str]]:
    """Hash tags in slots of each primary: the same few in all layouts, or else the roundest of its slots.

    They stay when slots change hands. So what is under them moves along, or it is seen that it did not.
    """
    tags: dict[Address, list[str]] = {}
    for rank, slot in enumerate(_roundest_first()):
        owner = owners[slot]
        if owner is not None and (rank < TAGGED or owner not in tags):
            tags.setdefault(owner, []).append(_tag(slot))
    return tags


@cache
def _roundest_first() -> list[int]:
    """All slots: 0, then 8192, then 4096, 12288, then 2048 and so on."""
    return sorted(range(SLOTS), key=lambda slot: f"{slot:014b}"[::-1])


@cache
def _tag(slot: int) -> str:
    """The first of {0}, {1} … that is in the slot."""
    return next(tag for tag in map("{{{}}}".format, count()) if key_slot(tag.encode()) == slot)


def _noted(error: RedisError, address: Address) -> RedisError:
    if not hasattr(error, "__notes__"):
        error.add_note(str(address))
    return error
