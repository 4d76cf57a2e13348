"""The cache that the settings name."""

from functools import partial

from lastword.cache.cache import Cache
from lastword.settings.environment import is_in_file, read_if_given
from lastword.settings.shared import SettingsError, TaskSettings


def open_cache(settings: TaskSettings) -> Cache:
    """Return the cache that the settings name; it connects at the first call. SettingsError when it cannot be."""
    try:
        return Cache.connect(
            settings.redis_url.get_secret_value(),
            key_prefix=settings.key_prefix,
            ttl_s=settings.ttl_s,
            tombstone_ttl_s=settings.tombstone_ttl_s,
            url_now=partial(read_if_given, "REDIS_URL") if is_in_file("REDIS_URL") else None,
        )
    except ValueError as error:
        raise SettingsError(f"setting REDIS_URL: {error}") from None
