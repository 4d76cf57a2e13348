"""The Redis cache: one hash per product, written by ``write_if_newer.lua`` alone, and the recorded failures."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from tasks.contract import Kind, Update
from tasks.errors import CacheUnavailableError, UnusableKeyError
from tasks.failures import Failure, decode, encode, failure_key
from tasks.outcome import Outcome
from tasks.redis_client import address_of, open_client
from tasks.version import Version

__all__ = ["Cache", "Failure", "Look", "Write", "Written"]

logger = logging.getLogger(__name__)

KEY_PREFIX: Final = "product:"
FAILURE_TTL_S: Final = 86_400  # a day: the bridge's sweep reads a failure within seconds
MAX_TTL_S: Final = 10**10  # about three centuries; past 2**63 ms Redis would refuse EXPIRE with the hash written

_SCRIPT: Final = Path(__file__).with_name("write_if_newer.lua").read_bytes()
_SCRIPT_SHA: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_RELOADS: Final = 2  # one is enough, unless another SCRIPT FLUSH comes between loading and calling
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Command = tuple[str | bytes | int, ...]
Written = Outcome | CacheUnavailableError | UnusableKeyError


class Write(NamedTuple):
    """One update to write, its data given or loaded, and the token of the lock it is written under ("" without)."""

    update: Update
    token: str


class Look(NamedTuple):
    """What a sweep saw in one round trip.

    ``versions`` by product id and ``failures`` by task id hold only what there is; ``identity`` names the server's
    data set: another one after a restart or a failover.
    """

    versions: dict[str, Version]
    failures: dict[str, Failure]
    identity: str


class Cache:
    """The products in Redis; safe to share between threads and to carry over a fork.

    Every method that asks Redis, except ``write``, raises CacheUnavailableError when there is no answer or an error for
    one. No call is repeated by itself, and each ends when Redis has been silent for the client's socket timeout.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        key_prefix: str = KEY_PREFIX,
        ttl_s: int | None = None,
        tombstone_ttl_s: int | None = None,
        failure_ttl_s: int = FAILURE_TTL_S,
    ) -> None:
        for name, value in (("ttl_s", ttl_s), ("tombstone_ttl_s", tombstone_ttl_s), ("failure_ttl_s", failure_ttl_s)):
            if value is not None and not 1 <= value <= MAX_TTL_S:
                raise ValueError(f"{name} is {value!r}; allowed are 1 to {MAX_TTL_S} seconds")
        if client.get_connection_kwargs().get("decode_responses"):
            raise ValueError(
                "the Redis client decodes its answers (decode_responses); products are bytes: leave it off"
            )
        self.address = address_of(client)
        self._client = client
        self._key_prefix = key_prefix
        self._ttl = "" if ttl_s is None else str(ttl_s)
        self._tombstone_ttl = "" if tombstone_ttl_s is None else str(tombstone_ttl_s)
        self._failure_ttl_s = failure_ttl_s

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        call_timeout_s: float = 5.0,
        key_prefix: str = KEY_PREFIX,
        ttl_s: int | None = None,
        tombstone_ttl_s: int | None = None,
    ) -> Self:
        """A cache on the Redis at ``url``, to which it connects at the first call.

        ``call_timeout_s`` bounds Redis's silence, while connecting and while answering. Options in the URL's query are
        redis-py's and win. ValueError when the URL cannot be used; it quotes nothing of the user or the password.
        """
        client = open_client(url, call_timeout_s=call_timeout_s)
        return cls(client, key_prefix=key_prefix, ttl_s=ttl_s, tombstone_ttl_s=tombstone_ttl_s)

    def held(self, product_ids: Sequence[str]) -> dict[str, Version]:
        """The versions held, by product id, in one round trip; a key that holds no readable version is left out."""
        products = list(dict.fromkeys(product_ids))
        return _versions(products, self._ask(self._version_reads(products)))

    def holds(self, updates: Sequence[Update]) -> list[Outcome | None]:
        """What a write of each update would come to, as far as reading tells: STALE, DUPLICATE, or None: write it.

        A notice, whose data is not known yet, is never a duplicate. Takes a second round trip, for the contents, only
        if some update's own version is held.
        """
        versions = self.held([update.product_id for update in updates])
        same = dict.fromkeys(u.product_id for u in updates if versions.get(u.product_id) == u.version)
        # A newer version written between the two reads makes a duplicate stale; both mean that it is held.
        answers = self._ask([("HMGET", self._key(product_id), "data", "deleted") for product_id in same])
        contents = dict(zip(same, answers, strict=True))
        return [_standing(update, versions.get(update.product_id), contents) for update in updates]

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Write each update unless a newer version is held, in one round trip: an outcome or an error each, in order.

        Raises nothing of Redis's: where it did not answer, or with an error, there stands a CacheUnavailableError (the
        write may have happened; repeating it is harmless), and where a key holds something else an UnusableKeyError.
        ValueError, with nothing written, when one of the updates is a notice whose data has not been loaded.
        """
        calls = [self._script_call(write) for write in writes]
        answers = self._send(calls, load_script=False)
        for _ in range(_RELOADS):
            unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if not unknown:
                break
            again = self._send([calls[index] for index in unknown], load_script=True)
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        return [
            self._written(self._key(w.update.product_id), answer) for w, answer in zip(writes, answers, strict=True)
        ]

    def look(self, product_ids: Sequence[str], task_ids: Sequence[str]) -> Look:
        """The held versions, the recorded failures and the identity of the data set, in one round trip.

        A key that holds no readable version, or no readable failure (which is logged), is left out.
        """
        products = list(dict.fromkeys(product_ids))
        tasks = list(dict.fromkeys(task_ids))
        failure_reads: list[_Command] = [("GET", failure_key(task_id)) for task_id in tasks]
        *answers, info = self._ask([*self._version_reads(products), *failure_reads, ("INFO", "server")])
        failures = zip(tasks, answers[len(products) :], strict=True)
        return Look(
            versions=_versions(products, answers[: len(products)]),
            failures={task_id: read for task_id, stored in failures if (read := _failure(task_id, stored))},
            identity=str(info.get("run_id", "unknown")),
        )

    def record_failure(self, failure: Failure) -> None:
        """Record, for a day by default, that the failure's task can never succeed; the last record of a task stays."""
        self._ask([("SET", failure_key(failure.task_id), encode(failure), "EX", self._failure_ttl_s)])

    def eviction_policy(self) -> str:
        """What Redis does when its memory is full: anything but ``noeviction`` may forget a version."""
        [info] = self._ask([("INFO", "memory")])
        return str(info.get("maxmemory_policy", "unknown"))

    def ping(self) -> None:
        """Return when Redis answers; otherwise CacheUnavailableError names its address."""
        self._ask([("PING",)])

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._client.close()

    def _key(self, product_id: str) -> str:
        return f"{self._key_prefix}{product_id}"

    def _version_reads(self, product_ids: Iterable[str]) -> list[_Command]:
        return [("HGET", self._key(product_id), "version") for product_id in product_ids]

    def _script_call(self, write: Write) -> _Command:
        update, token = write
        deleted, data, ttl = ("1", b"", self._tombstone_ttl) if update.deleted else ("", update.data, self._ttl)
        if data is None:
            raise ValueError(f"product {update.product_id!a}, version {update.version}: a notice has no data to write")
        version, updated_at = str(update.version), _rfc3339(update.version.updated_at_us)
        key = self._key(update.product_id)
        return ("EVALSHA", _SCRIPT_SHA, 1, key, version, updated_at, token, deleted, data, ttl)

    def _written(self, key: str, answer: object) -> Written:
        match answer:
            case bytes():
                return Outcome(answer.decode())
            case [b"unusable", bytes() as kind]:
                held = f"a {kind.decode()}"
            case [b"unusable", bytes() as kind, bytes() as version]:
                held = f"a {kind.decode()} whose version is {version[:80]!r}"
            case RedisError():
                return self._unavailable(answer)
            case _:
                raise AssertionError(f"write_if_newer.lua answered {answer!r}")
        return UnusableKeyError(f"key {key!a} in Redis at {self.address} holds {held}; wanted is the hash of a product")

    def _send(self, calls: Sequence[_Command], *, load_script: bool) -> list[Any]:
        """An answer for each call of the script, errors among them, with the script loaded first if asked."""
        try:
            if not load_script:
                return self._pipeline(calls)
            loaded, *answers = self._pipeline([("SCRIPT LOAD", _SCRIPT), *calls])
        except RedisError as error:
            return [error] * len(calls)
        return [loaded] * len(calls) if isinstance(loaded, ResponseError) else answers

    def _ask(self, commands: Sequence[_Command]) -> list[Any]:
        """The answers of one round trip; among errors only a key of another type is an answer."""
        try:
            answers = self._pipeline(commands)
        except RedisError as error:
            raise self._unavailable(error) from error
        for answer in answers:
            if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
                raise self._unavailable(answer) from answer
        return answers

    def _pipeline(self, commands: Sequence[_Command]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            # Not pipe.evalsha() and the like: the pipeline of a Redis Cluster refuses some of them.
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it without types
        return pipe.execute(raise_on_error=False)

    def _unavailable(self, error: RedisError) -> CacheUnavailableError:
        # redis-py cuts the code off some errors (OOM, READONLY); their class says it.
        return CacheUnavailableError(f"Redis at {self.address}: {type(error).__name__}: {error}")


def _standing(update: Update, held: Version | None, contents: dict[str, Any]) -> Outcome | None:
    if held is None or held < update.version:
        return None
    if held > update.version:
        return Outcome.STALE
    content = contents[update.product_id]
    if update.kind is Kind.NOTICE or isinstance(content, ResponseError):
        return None
    data, deleted = content
    same = deleted is not None if update.deleted else deleted is None and data == update.data
    return Outcome.DUPLICATE if same else None


def _versions(product_ids: Sequence[str], answers: Sequence[object]) -> dict[str, Version]:
    found = zip(product_ids, answers, strict=True)
    return {product_id: read for product_id, stored in found if (read := _version(stored)) is not None}


def _version(stored: object) -> Version | None:
    """The version in a field as Redis answered it; None when it is absent, unreadable or the key no hash."""
    if not isinstance(stored, bytes):
        return None
    try:
        return Version.parse(stored.decode())
    except ValueError:
        return None


def _failure(task_id: str, stored: object) -> Failure | None:
    if not isinstance(stored, bytes):
        return None
    try:
        return decode(stored)
    except ValueError as error:
        logger.warning("ignored the recorded failure of task %s, which is unreadable: %s", task_id, error)
        return None


def _rfc3339(updated_at_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=updated_at_us)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
