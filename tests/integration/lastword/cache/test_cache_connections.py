"""Redis that is not for everybody: passwords, ACL users and TLS, and what is said when they do not fit."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastword.cache.cache import Cache, Write
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.process.reach import reach_cache, wait_for_cache
from lastword.process.startup import UnreachableError, wait_for
from servers import Redis, Tls
from tests.redis_forms import ACL, make_tls, need

USERS = (
    "user default on >s3cret ~* &* +@all",
    f"user lastword {ACL}",
    f"user reader {ACL.replace('+evalsha ', '')}",
    f"user elsewhere {ACL.replace('~test-*', '~other-*')}",
)


def write(entity_id: str = "42") -> Write:
    return Write(Update(entity_id=entity_id, version=Version(1, 1), data=b"1"), "")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("guarded"), users=USERS) as server:
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(scope="module")
def over_tls(tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("over-tls"), program=need("redis-server"), tls=tls) as server:
        yield server


def refusal(url: str) -> str:
    """What is said of a Redis that cannot be used; the same for a write, and no secret in anything that is raised."""
    cache = Cache.connect(url, key_prefix="test-")
    with pytest.raises(CacheUnavailableError) as raised:
        cache.eviction_policy()
    [answer] = cache.write([write()])
    cache.close()
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert str(answer) == str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("login", [":s3cret", "default:s3cret", "lastword:s3cret"])
def test_a_password_and_an_acl_user_stand_in_the_url(guarded: Redis, login: str, key_prefix: str) -> None:
    cache = Cache.connect(f"redis://{login}@{guarded.address}", key_prefix=key_prefix)

    reach_cache(cache)
    assert cache.write([write()]) == [Outcome.APPLIED]
    cache.close()


@pytest.mark.parametrize("login", [":wr0ng-s3cret@", "lastword:wr0ng-s3cret@", "nobody:s3cret@", ""])
def test_a_wrong_login_is_told_with_what_to_look_at(guarded: Redis, login: str) -> None:
    said = refusal(f"redis://{login}{guarded.address}")

    assert f"Redis at {guarded.address}: AuthenticationError: " in said
    assert "(check the user and the password in the URL)" in said


def test_a_login_that_heals_is_waited_for_at_the_start(guarded: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache.connect(f"redis://late:s3cret@{guarded.address}")
    tries = []

    def probe() -> None:
        tries.append(1)
        if len(tries) == 2:
            with guarded.admin() as admin:
                admin.acl_setuser("late", enabled=True, passwords=["+s3cret"], categories=["+@all"])
        reach_cache(cache)

    wait_for("Redis", cache.address, probe, deadline_s=60)

    assert len(tries) == 2
    said = capsys.readouterr().err
    assert "check the user and the password" in said
    assert "s3cret" not in said
    cache.close()


def test_a_login_that_does_not_heal_ends_the_start(guarded: Redis) -> None:
    cache = Cache.connect(f"redis://nobody:s3cret@{guarded.address}")

    with pytest.raises(UnreachableError, match="AuthenticationError") as raised:
        wait_for_cache(cache, 0)

    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    cache.close()


@pytest.mark.parametrize("user", ["reader", "elsewhere"])
def test_a_missing_permission_is_told_with_what_is_needed(guarded: Redis, user: str, key_prefix: str) -> None:
    cache = Cache.connect(f"redis://{user}:s3cret@{guarded.address}", key_prefix=key_prefix)

    [answer] = cache.write([write()])

    assert isinstance(answer, CacheUnavailableError)
    assert f"Redis at {guarded.address}: NoPermissionError: " in str(answer)
    assert "+evalsha +script|load" in str(answer)
    cache.close()


def test_tls_with_the_ca_and_the_right_name(over_tls: Redis, tls: Tls, key_prefix: str) -> None:
    cache = Cache.connect(f"rediss://localhost:{over_tls.port}?ssl_ca_certs={tls.ca}", key_prefix=key_prefix)

    assert cache.write([write()]) == [Outcome.APPLIED]
    cache.close()


def test_a_certificate_for_another_name_is_refused(over_tls: Redis, tls: Tls) -> None:
    said = refusal(f"rediss://127.0.0.1:{over_tls.port}?ssl_ca_certs={tls.ca}")

    assert f"Redis at {over_tls.address}: " in said
    assert "127.0.0.1" in said.partition("verify failed")[2], "the name that was asked for"
    assert "(the certificate is for another name: " in said


def test_a_certificate_of_an_unknown_ca_is_refused(over_tls: Redis, tmp_path: Path) -> None:
    other = make_tls(tmp_path, "localhost")

    for query in (f"?ssl_ca_certs={other.ca}", ""):
        said = refusal(f"rediss://localhost:{over_tls.port}{query}")
        assert f"Redis at localhost:{over_tls.port}: " in said
        assert "verify failed" in said
        assert "?ssl_ca_certs=" in said


def test_a_port_without_tls_does_not_answer_with_it(redis_server: Redis) -> None:
    """Redis waits for the end of what it takes for a command."""
    assert redis_server.address in refusal(f"rediss://{redis_server.address}?socket_timeout=0.5")


def test_a_port_with_tls_does_not_answer_without_it(over_tls: Redis) -> None:
    assert over_tls.address in refusal(f"redis://{over_tls.address}")
