"""Redis URLs: what may be wrong with them is said before anything connects, and never with a password."""

import re

import pytest
import redis

from tasks.cache import Cache


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:6379", "redis://, rediss://, unix://"),
        ("127.0.0.1:6379", "redis://, rediss://, unix://"),
        ("", "redis://, rediss://, unix://"),
        ("redis://:sec#ret@127.0.0.1:6379", "%23"),
        ("redis://:sec/ret@127.0.0.1:6379", "%2F"),
        ("redis://127.0.0.1:port", "unreadable host or port"),
        ("redis://[::1", "unreadable host or port"),
        ("redis://127.0.0.1?db=one", "'db'"),
        ("redis://127.0.0.1?speed=high", "'speed'"),
        ("redis://127.0.0.1?decode_responses=1", "decode_responses"),
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
    ],
)
def test_the_address_is_told_without_the_password(url: str, address: str) -> None:
    assert Cache.connect(url).address == address


def test_a_client_that_decodes_its_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="decode_responses"):
        Cache(redis.Redis(decode_responses=True))
