"""The Redis cache: one hash per entity, written by ``write_if_newer.lua`` alone, and the recorded failures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from redis.exceptions import NoScriptError, RedisError, ResponseError

from lastword.cache.answers import Standing, begun_in, error_in, failure_in, standing_of, versions_in
from lastword.cache.failures import TaskFailure, encode, failure_key
from lastword.cache.seal import Seal
from lastword.cache.started import started_key
from lastword.cache.write_script import LOAD, Write, outcome_of, script_call
from lastword.contract.errors import ApartError, CacheUnavailableError, UnusableKeyError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.redis.client import CALL_TIMEOUT_S, open_client
from lastword.redis.errors import CACHE_PERMISSIONS, explain, where
from lastword.redis.pipeline import Client, Command

__all__ = ["Cache", "Poll", "Standing", "TaskFailure", "Write", "Written"]

KEY_PREFIX: Final = "product:"
FAILURE_TTL_S: Final = 86_400  # a day: the bridge's poll reads a failure within seconds
MAX_TTL_S: Final = 10**10  # about three centuries; past 2**63 ms Redis would refuse EXPIRE with the hash written

_RELOADS: Final = 2  # one is enough, unless another SCRIPT FLUSH comes between loading and calling

Written = Outcome | ApartError | CacheUnavailableError | UnusableKeyError


class Poll(NamedTuple):
    """What one poll of the bridge has told.

    ``versions`` by entity id and ``failures`` by task id hold only what there is. ``started``, by task id: of the
    sends that have begun and not come to an end, the nonce and who began it when. ``missed`` is the first error, where
    a part could not be read or did not take the seal.
    """

    versions: dict[str, Version]
    failures: dict[str, TaskFailure]
    started: dict[str, dict[str, str]]
    missed: CacheUnavailableError | None = None


class Cache:
    """The entities in Redis; safe to share between threads and to carry over a fork.

    Where Redis does not answer, or with an error, there is a CacheUnavailableError: as the answer for an entity in
    ``write`` and ``holds``, so that a shard of a Cluster that is down stops no entity of another; raised by the rest.
    No call is repeated by itself, and each ends when Redis has been silent for the client's socket timeout.
    """

    def __init__(
        self,
        client: Client,
        *,
        key_prefix: str = KEY_PREFIX,
        ttl_s: int | None = None,
        tombstone_ttl_s: int | None = None,
        failure_ttl_s: int = FAILURE_TTL_S,
    ) -> None:
        for name, value in (("ttl_s", ttl_s), ("tombstone_ttl_s", tombstone_ttl_s), ("failure_ttl_s", failure_ttl_s)):
            if value is not None and not 1 <= value <= MAX_TTL_S:
                raise ValueError(f"{name} is {value!r}; allowed are 1 to {MAX_TTL_S} seconds")
        self.address = client.address
        self._client = client
        self._key_prefix = key_prefix
        self._ttl_s = ttl_s
        self._tombstone_ttl_s = tombstone_ttl_s
        self._failure_ttl_s = failure_ttl_s

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        key_prefix: str = KEY_PREFIX,
        ttl_s: int | None = None,
        tombstone_ttl_s: int | None = None,
        url_now: Callable[[], str | None] | None = None,
    ) -> Self:
        """A cache on the Redis at ``url``, to which it connects at the first call.

        ``call_timeout_s`` bounds Redis's silence, while connecting and while answering. Options in the URL's query are
        redis-py's and win. ``url_now``: as in open_client. ValueError when the URL cannot be used; it quotes nothing of
        the user or the password.
        """
        client = open_client(url, call_timeout_s=call_timeout_s, url_now=url_now)
        return cls(client, key_prefix=key_prefix, ttl_s=ttl_s, tombstone_ttl_s=tombstone_ttl_s)

    def held(self, entity_ids: Sequence[str]) -> dict[str, Version]:
        """The versions held, by entity id, in one round trip; a key that holds no readable version is left out."""
        answers = self._read(entity_ids, "HGET", "version")
        self._refuse_errors(answers.values())
        return versions_in(answers)

    def holds(self, updates: Sequence[Update]) -> list[Standing]:
        """What a write of each update would come to, as far as reading tells: STALE, DUPLICATE, or None: write it.

        A notice, whose data is not known yet, is never a duplicate. ApartError where the held version tells nothing of
        the update's: what there is to write must be loaded. Takes a second round trip, for the contents, only if some
        update's own version is held.
        """
        answers = self._read([update.entity_id for update in updates], "HGET", "version")
        versions = versions_in(answers)
        same = [update.entity_id for update in updates if versions.get(update.entity_id) == update.version]
        # A newer version written between the two reads makes a duplicate stale; both mean that it is held.
        answers |= self._read(same, "HMGET", "data", "deleted")
        return [
            self.unavailable(error)
            if (error := error_in(answers[update.entity_id]))
            else standing_of(update, versions.get(update.entity_id), answers[update.entity_id])
            for update in updates
        ]

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Write each update unless a newer version is held, in one round trip: an outcome or an error each, in order.

        Raises nothing of Redis's: where it did not answer, or with an error, there stands a CacheUnavailableError (the
        write may have happened; repeating it is harmless), and where a key holds something else an UnusableKeyError.
        ValueError, with nothing written, when one of the updates is a notice whose data has not been loaded.
        """
        keys = [self.key(write.update.entity_id) for write in writes]
        calls = [
            script_call(write, key, ttl_s=self._ttl_s, tombstone_ttl_s=self._tombstone_ttl_s)
            for write, key in zip(writes, keys, strict=True)
        ]
        answers = self._client.run(calls).answers
        for _ in range(_RELOADS):
            unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if not unknown:
                break
            loaded, again = self._client.run([calls[index] for index in unknown], on_each=LOAD)
            refusal = next((answer for answer in loaded if isinstance(answer, ResponseError)), None)
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = refusal if refusal and isinstance(answer, NoScriptError) else answer
        return [
            self.unavailable(answer) if isinstance(answer, RedisError) else outcome_of(answer, key, self.address)
            for key, answer in zip(keys, answers, strict=True)
        ]

    def poll(
        self,
        entity_ids: Sequence[str],
        task_ids: Sequence[str],
        sends: Mapping[str, Sequence[str]] | None = None,
        *,
        seal: Seal | None = None,
    ) -> Poll:
        """The held versions and the recorded failures, in one round trip, which ``seal`` ends on every primary.

        ``sends``: for task ids the nonces of the sends of which to tell whether they have begun. A key that holds no
        readable version, or no readable failure (which is logged), is left out, and so is what a part of Redis did not
        answer; CacheUnavailableError only when nothing did.
        """
        wanted, tasks = list(dict.fromkeys(entity_ids)), list(dict.fromkeys(task_ids))
        reads: list[Command] = [("HGET", self.key(entity_id), "version") for entity_id in wanted]
        reads += [("GET", failure_key(task_id)) for task_id in tasks]
        sends = sends or {}
        reads += [("HMGET", started_key(task_id), *nonces) for task_id, nonces in sends.items()]
        judged, answers = self._client.run(reads, seal=seal)
        errors = [error for error in judged if error] + [error for answer in answers if (error := error_in(answer))]
        if errors and len(errors) == len(judged) + len(answers):
            raise self.unavailable(errors[0]) from errors[0]
        held = zip(wanted, answers[: len(wanted)], strict=True)
        failures = zip(tasks, answers[len(wanted) : len(wanted) + len(tasks)], strict=True)
        marks = zip(sends.items(), answers[len(wanted) + len(tasks) :], strict=True)
        return Poll(
            versions=versions_in(dict(held)),
            failures={task_id: read for task_id, stored in failures if (read := failure_in(task_id, stored))},
            started={task_id: begun for (task_id, nonces), stored in marks if (begun := begun_in(nonces, stored))},
            missed=self.unavailable(errors[0]) if errors else None,
        )

    def record_failure(self, failure: TaskFailure) -> None:
        """Record, for a day by default, that the failure's task can never succeed; the last record of a task stays."""
        self.ask([("SET", failure_key(failure.task_id), encode(failure), "EX", self._failure_ttl_s)])

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """What Redis answers to commands, in one round trip; CacheUnavailableError unless all succeed."""
        answers = self.answers(commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise self.unavailable(answer) from answer
        return answers

    def answers(self, commands: Sequence[Command]) -> list[Any]:
        """What Redis answers to commands, in one round trip, errors among it."""
        return self._client.run(commands).answers

    def eviction_policy(self) -> str:
        """What Redis does when its memory is full: anything but ``noeviction`` may forget a version.

        CacheUnavailableError only when no primary answered: the entities of the others can be kept fresh.
        """
        answers = self._client.run([], on_each=("INFO", "memory")).each
        told = [info for info in answers if not isinstance(info, RedisError)]
        if not told:
            self._refuse_errors(answers)
        policies = {str(info.get("maxmemory_policy", "unknown")) for info in told}
        return ", ".join(sorted(policies - {"noeviction"})) or "noeviction"

    def key(self, entity_id: str) -> str:
        """The Redis key of an entity."""
        return f"{self._key_prefix}{entity_id}"

    def unavailable(self, error: RedisError) -> CacheUnavailableError:
        """What to raise, or to tell, for an error of Redis's."""
        told = explain(error, permissions=CACHE_PERMISSIONS)
        return CacheUnavailableError(f"Redis at {where(error, self.address)}: {told}")

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._client.close()

    def _read(self, entity_ids: Iterable[str], command: str, *fields: str) -> dict[str, Any]:
        """What Redis answers for each entity, errors among it, in one round trip."""
        wanted = list(dict.fromkeys(entity_ids))
        reads: list[Command] = [(command, self.key(entity_id), *fields) for entity_id in wanted]
        return dict(zip(wanted, self._client.run(reads).answers, strict=True))

    def _refuse_errors(self, answers: Iterable[object]) -> None:
        for answer in answers:
            if error := error_in(answer):
                raise self.unavailable(error) from error
