"""Here the cache, and the Redis behind it, are those of every form of Redis in turn."""

from collections.abc import Iterator

import pytest

from lastword.cache.cache import Cache
from tests.redis_forms import Raw, RedisForm


@pytest.fixture
def raw(redis_form: RedisForm) -> Raw:
    return redis_form.raw


@pytest.fixture
def cache(redis_form: RedisForm, key_prefix: str) -> Iterator[Cache]:
    cache = Cache.connect(redis_form.url, key_prefix=key_prefix)
    yield cache
    cache.close()
