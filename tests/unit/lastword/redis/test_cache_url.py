"""Redis URLs: what may be wrong with them is said before anything connects, and never with a password."""

import re
import traceback

import pytest

from lastword.cache.cache import Cache
from lastword.contract.errors import CacheUnavailableError
from lastword.redis.url import parse


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:6379", "redis://, rediss://, unix://"),
        ("127.0.0.1:6379", "redis://, rediss://, unix://"),
        ("", "redis://, rediss://, unix://"),
        ("redis://:sec#ret@127.0.0.1:6379", "%23"),
        ("redis://:sec/ret@127.0.0.1:6379", "%2F"),
        ("redis://127.0.0.1:port", "unreadable host, port"),
        ("redis://:a[sec]b@127.0.0.1:6379", "%5B"),
        ("redis://:sec＃@127.0.0.1:6379", "unreadable host, port"),  # noqa: RUF001 - what a keyboard may write
        ("redis://a..b:6379", "unreadable host, port"),
        ("redis://[::1", "unreadable host, port"),
        ("redis://127.0.0.1?db=one", "'db'"),
        ("redis://127.0.0.1?speed=high", "'speed'"),
        ("redis://127.0.0.1?decode_responses=1", "decode_responses"),
        ("redis://:sec?ret@127.0.0.1:6379", "%3F"),
        ("redis://:12/sec@127.0.0.1:6379", "%2F"),
        ("redis://:12?sec@127.0.0.1:6379", "%3F"),
        ("redis://:12#sec@127.0.0.1:6379", "%23"),
        ("redis://127.0.0.1/one", "unreadable host, port"),
        ("redis://127.0.0.1?ssl_ca_certs=/dev/null", "rediss"),
        ("rediss://127.0.0.1?ssl_ca_certs=/not/there", "ssl_ca_certs in the Redis URL cannot be read"),
        ("rediss://127.0.0.1?ssl_cert_reqs=perhaps", "perhaps"),
        ("redis+sentinel://127.0.0.1:26379", "names no service"),
        ("redis+sentinel://127.0.0.1:26379/", "names no service"),
        ("redis+sentinel://a:1,b:port/mymaster", "unreadable host, port"),
        ("redis+sentinel://a:1/mymaster/one", "unreadable host, port"),
        ("redis+sentinel://:sec/ret@a:1/mymaster", "%2F"),
        ("redis://127.0.0.1?sentinel_password=sec", "'sentinel_password'"),
        ("redis+cluster://a:1,b:2/3", "only database 0"),
        ("redis+cluster://a:1?db=3", "only database 0"),
        ("redis+cluster://:sec@a:1,b:port", "unreadable host, port"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as raised:
        Cache.connect(url)

    assert "sec" not in str(raised.value)
    assert raised.value.__cause__ is None or "sec" not in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", "localhost:6379"),
        ("redis://:secret@10.0.0.7:6380/3", "10.0.0.7:6380"),
        ("rediss://someone:secret@cache.example:6390?db=2", "cache.example:6390"),
        ("unix://someone:secret@/run/redis.sock?db=2", "/run/redis.sock"),
        ("redis+sentinel://someone:secret@a,b:1/mymaster/2?sentinel_password=secret", "a:26379,b:1/mymaster"),
        ("rediss+sentinel://a,[::1]:1/my%20master", "a:26379,[::1]:1/my master"),
        ("redis+cluster://someone:secret@a,b:1", "a:6379,b:1"),
        ("rediss+cluster://a:1/0", "a:1"),
    ],
)
def test_the_address_is_told_without_the_password(url: str, address: str) -> None:
    assert Cache.connect(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "redis://bob:s3cret@127.0.0.1:1/1",
        "rediss://bob:s3cret@127.0.0.1:1/1?ssl_password=s3cret",
        "unix://bob:s3cret@/not/there.sock",
        "redis+sentinel://bob:s3cret@127.0.0.1:1/mymaster?sentinel_username=bob&sentinel_password=s3cret",
        "redis+cluster://bob:s3cret@127.0.0.1:1",
    ],
)
def test_nothing_that_is_built_shows_the_password(url: str) -> None:
    shown: set[str] = set()
    seen: set[int] = set()

    def show(thing: object, depth: int) -> None:
        """What a debugger, a log or an error reporter would print of an object of ours or of redis-py's, and within."""
        if id(thing) in seen or not depth:
            return
        seen.add(id(thing))
        module = type(thing).__module__
        if module.startswith(("tasks", "redis")):
            shown.update((repr(thing), str(thing)))
            for inner in vars(thing).values() if hasattr(thing, "__dict__") else ():
                show(inner, depth - 1)

    cache = Cache.connect(url)
    with pytest.raises(CacheUnavailableError) as raised:
        cache.held(["42"])
    show(cache, 6)
    show(parse(url), 6)
    shown.update(traceback.format_exception(raised.value))
    cache.close()

    assert len(shown) > 3
    assert not [text for text in shown if "s3cret" in text]
