"""Whether the cache can be reached, and keeps what it is given."""

from lastword.cache.cache import Cache
from lastword.contract.errors import CacheUnavailableError
from lastword.process.startup import complain, wait_for


def wait_for_cache(cache: Cache, deadline_s: float) -> None:
    """Wait until Redis answers; UnreachableError as in ``wait_for``."""
    wait_for("Redis", cache.address, lambda: reach_cache(cache), deadline_s=deadline_s)


def reach_cache(cache: Cache) -> None:
    """Return when Redis answers, with a warning if it may evict keys; ConnectionError with a reason when not."""
    try:
        policy = cache.eviction_policy()
    except CacheUnavailableError as error:
        vague = "closed by server" in str(error)
        raise ConnectionError(
            f"{error} Is it a Redis's port, with TLS or without as the URL has it?" if vague else str(error)
        ) from error
    if policy != "noeviction":
        complain(
            f"Redis at {cache.address} has the maxmemory-policy {policy!r}: it may forget a version, and then an older "
            "update wins; freshness is not guaranteed"
        )
