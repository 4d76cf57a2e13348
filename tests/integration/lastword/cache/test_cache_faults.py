"""The cache on bad days of every Redis: each error can heal, each call ends, and no secret is told."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis

from lastword.cache.cache import Cache, TaskFailure, Write
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers import Redis
from tests.redis_forms import PROGRAMS, need
from tests.waiting import wait_until

CALL_TIMEOUT_S = 1.0
TOO_LONG_S = 60.0  # for a call with this timeout, on a machine that is busy

FORKING = """
import os, sys
from lastword.cache.cache import Cache

cache = Cache.connect(sys.argv[1], key_prefix=sys.argv[2])
assert list(cache.held(["parent", "child"])) == ["parent", "child"]
child = os.fork()
mine = "parent" if child else "child"
wrong = sum(list(cache.held([mine])) != [mine] for _ in range(500))
if child:
    wrong += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(min(wrong, 99))
"""


def live(sequence: int, *, entity_id: str = "42", data: bytes = b"1") -> Write:
    return Write(Update(entity_id=entity_id, version=Version(1, sequence), data=data), "00000001000000a9")


@pytest.fixture(scope="module", params=PROGRAMS)
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis"), program=need(request.param)) as server:
        yield server


@pytest.fixture
def cache(redis_server: Redis, key_prefix: str) -> Iterator[Cache]:
    cache = Cache.connect(redis_server.url(), key_prefix=key_prefix, call_timeout_s=CALL_TIMEOUT_S)
    yield cache
    cache.close()


@contextmanager
def out_of_memory(raw: redis.Redis) -> Iterator[None]:
    raw.config_set("maxmemory", "1kb")
    try:
        yield
    finally:
        raw.config_set("maxmemory", "0")


@contextmanager
def read_only(raw: redis.Redis) -> Iterator[None]:
    raw.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        raw.replicaof("NO", "ONE")


@contextmanager
def too_few_replicas(raw: redis.Redis) -> Iterator[None]:
    raw.config_set("min-replicas-to-write", "1")
    try:
        yield
    finally:
        raw.config_set("min-replicas-to-write", "0")


@pytest.mark.parametrize(
    ("fault", "reason"),
    # In a script Redis 6.2 tells the code, later ones have an error of its own kind.
    [(out_of_memory, "OutOfMemory|OOM"), (read_only, "ReadOnly|READONLY"), (too_few_replicas, "NOREPLICAS")],
)
@pytest.mark.parametrize(
    "late", [live(2), Write(Update(entity_id="42", version=Version(1, 2), data=None, deleted=True), "")]
)
def test_a_server_that_refuses_writes_loses_nothing(
    *,
    cache: Cache,
    redis_server: Redis,
    raw: redis.Redis,
    key_prefix: str,
    late: Write,
    fault: Callable[[redis.Redis], AbstractContextManager[None]],
    reason: str,
) -> None:
    cache.write([live(1)])
    before = raw.hgetall(f"{key_prefix}42")

    with fault(raw):
        raw.config_resetstat()
        [answer] = cache.write([late])
        assert "cmdstat_script|load" not in raw.info("commandstats"), "only NOSCRIPT asks for the script"
        assert isinstance(answer, CacheUnavailableError)
        assert redis_server.address in str(answer)
        assert re.search(reason, str(answer))
        if fault is read_only:
            with pytest.raises(CacheUnavailableError, match="it is a replica"):
                cache.held(["42"])
        else:
            assert cache.held(["42"]) == {"42": Version(1, 1)}, "reading goes on"
        with pytest.raises(CacheUnavailableError, match=reason):
            cache.record_failure(TaskFailure(f"{key_prefix}task", Version(1, 1), "nonce", "ValueError", ""))
        assert raw.hgetall(f"{key_prefix}42") == before

    assert cache.write([late]) == [Outcome.APPLIED]


def test_an_error_of_one_write_leaves_the_answers_of_the_others(
    redis_server: Redis, raw: redis.Redis, key_prefix: str
) -> None:
    raw.acl_setuser(
        "some-keys", enabled=True, passwords=["+s3cret"], keys=[f"{key_prefix}ok*"], categories=["+@all"], reset=True
    )
    cache = Cache.connect(f"redis://some-keys:s3cret@{redis_server.address}", key_prefix=key_prefix)

    first, refused, last = cache.write([live(1, entity_id=name) for name in ("ok-1", "forbidden", "ok-2")])

    assert [first, last] == [Outcome.APPLIED, Outcome.APPLIED]
    assert isinstance(refused, CacheUnavailableError)
    assert "NoPermission" in str(refused)
    with pytest.raises(CacheUnavailableError, match="NoPermission"):
        cache.held(["ok-1", "forbidden"])
    unread, absent = cache.holds([live(1, entity_id=name).update for name in ("forbidden", "ok-3")])
    assert isinstance(unread, CacheUnavailableError)
    assert absent is None
    look = cache.poll(["forbidden", "ok-1"], [])
    assert look.versions == {"ok-1": Version(1, 1)}
    assert "NoPermission" in str(look.missed)
    cache.close()
    raw.acl_deluser("some-keys")


def test_a_script_that_may_not_be_loaded_is_the_reason_given(
    redis_server: Redis, raw: redis.Redis, key_prefix: str
) -> None:
    raw.acl_setuser(
        "no-load",
        enabled=True,
        passwords=["+s3cret"],
        keys=["*"],
        categories=["+@all"],
        commands=["-script"],
        reset=True,
    )
    cache = Cache.connect(f"redis://no-load:s3cret@{redis_server.address}", key_prefix=key_prefix)
    raw.script_flush()

    answers = cache.write([live(1), live(2)])

    assert all(isinstance(answer, CacheUnavailableError) and "NoPermission" in str(answer) for answer in answers)
    cache.close()
    raw.acl_deluser("no-load")


@pytest.mark.parametrize("user", [":wr0ng-s3cret@", "nobody:wr0ng-s3cret@"])
def test_a_wrong_password_is_an_error_that_does_not_tell_it(redis_server: Redis, user: str) -> None:
    cache = Cache.connect(f"redis://{user}{redis_server.address}")

    with pytest.raises(CacheUnavailableError) as raised:
        cache.eviction_policy()
    [answer] = cache.write([live(1)])

    for error in (raised.value, raised.value.__cause__, answer):
        assert isinstance(error, Exception)
        assert "s3cret" not in f"{error} {error!r}"
    assert redis_server.address in str(raised.value)
    cache.close()


def test_nobody_listening_is_told_with_the_address() -> None:
    cache = Cache.connect("redis://:s3cret@127.0.0.1:1")

    with pytest.raises(CacheUnavailableError, match=r"127\.0\.0\.1:1: .*refused") as raised:
        cache.eviction_policy()

    assert "s3cret" not in str(raised.value)
    answers = cache.write([live(1), live(2)])
    assert [type(answer) for answer in answers] == [CacheUnavailableError] * 2


def test_the_script_is_loaded_again_after_a_flush(cache: Cache, raw: redis.Redis) -> None:
    assert cache.write([live(1)]) == [Outcome.APPLIED]
    raw.script_flush()

    assert cache.write([live(2), live(1)]) == [Outcome.APPLIED, Outcome.STALE]


def test_a_flush_in_the_middle_of_a_call_resends_only_what_was_not_run(
    cache: Cache, raw: redis.Redis, key_prefix: str
) -> None:
    writes = [live(1, entity_id=str(n), data=b"x" * 300) for n in range(4_000)]

    def flushed_in_the_middle() -> bool:
        for key in raw.scan_iter(f"{key_prefix}*", count=10_000):
            raw.delete(key)
        raw.config_resetstat()
        answers: list[object] = []
        writer = threading.Thread(target=lambda: answers.extend(cache.write(writes)))
        writer.start()
        wait_until(lambda: raw.exists(f"{key_prefix}100"), what="the hundredth write")
        raw.script_flush()
        writer.join()
        # Each once: a write that had been run and were sent again would be a duplicate.
        assert answers == [Outcome.APPLIED] * len(writes)
        not_run = int(raw.info("errorstats").get("errorstat_NOSCRIPT", {}).get("count", 0))
        return 0 < not_run < len(writes)

    cache.write([live(1, entity_id="loads the script")])
    wait_until(flushed_in_the_middle, what="a flush while the pipeline was running")


def test_a_paused_server_ends_every_call_in_time_and_nothing_is_run_twice(
    cache: Cache, redis_server: Redis, raw: redis.Redis, key_prefix: str
) -> None:
    cache.write([live(1)])
    raw.config_resetstat()
    fresh = Cache.connect(redis_server.url(), key_prefix=key_prefix, call_timeout_s=CALL_TIMEOUT_S)
    asks: list[Callable[[], object]] = [
        cache.eviction_policy,
        fresh.eviction_policy,
        lambda: cache.held(["42"]),
        lambda: cache.poll(["42"], ["task"]),
        lambda: cache.record_failure(TaskFailure(f"{key_prefix}task", Version(1, 1), "nonce", "ValueError", "")),
    ]
    # On the one connection that is open, and while it is: the write may reach the server and be run late.
    redis_server.pause()
    try:
        started = time.monotonic()
        answers: list[object] = [*cache.write([live(2), live(3)])]
        assert time.monotonic() - started < TOO_LONG_S
        answers += cache.holds([live(1).update])
        assert [type(answer) for answer in answers] == [CacheUnavailableError] * 3
        for ask in asks:
            started = time.monotonic()
            with pytest.raises(CacheUnavailableError, match=redis_server.address):
                ask()
            assert time.monotonic() - started < TOO_LONG_S
    finally:
        redis_server.resume()

    assert cache.write([live(3), live(2)])[1] is Outcome.STALE
    assert cache.held(["42"]) == {"42": Version(1, 3)}
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] <= 4, "two late, two now"
    fresh.close()


def test_a_busy_server_is_one_that_can_heal(cache: Cache, raw: redis.Redis, redis_server: Redis) -> None:
    cache.eviction_policy()
    raw.config_set("lua-time-limit", "20")
    endless = redis.Redis.from_url(redis_server.url())

    def run_for_ever() -> None:
        with pytest.raises(redis.ResponseError, match="killed"):
            endless.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            cache.held(["42"])
        except CacheUnavailableError as error:
            return "BUSY" in str(error)
        return False

    runner = threading.Thread(target=run_for_ever)
    runner.start()
    try:
        wait_until(is_busy, what="the server to say BUSY")
        [answer] = cache.write([live(1)])
        assert isinstance(answer, CacheUnavailableError)
    finally:
        wait_until(raw.script_kill, what="the endless script to end")
        runner.join()
        raw.config_set("lua-time-limit", "5000")
        endless.close()

    assert cache.write([live(1)]) == [Outcome.APPLIED]


def test_a_restarted_server_is_used_at_once(cache: Cache, redis_server: Redis) -> None:
    cache.write([live(1)])

    redis_server.restart()

    assert cache.poll(["42"], []).versions == {"42": Version(1, 1)}
    assert cache.write([live(2)]) == [Outcome.APPLIED]


def test_one_cache_on_both_sides_of_a_fork(cache: Cache, redis_server: Redis, key_prefix: str) -> None:
    cache.write([live(1, entity_id=name) for name in ("parent", "child")])

    forked = subprocess.run([sys.executable, "-c", FORKING, redis_server.url(), key_prefix], timeout=60, check=False)

    assert forked.returncode == 0


def test_one_cache_in_many_threads(cache: Cache) -> None:
    answers: dict[int, list[object]] = {}

    def write(thread: int) -> None:
        answers[thread] = [cache.write([live(n, entity_id=str(thread))])[0] for n in range(200)]

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {thread: [Outcome.APPLIED] * 200 for thread in range(8)}
