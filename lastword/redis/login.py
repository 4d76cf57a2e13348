"""The user and the password for Redis, where a file has them: read again for each connection, since they may change."""

import logging
from collections.abc import Callable
from dataclasses import replace

from redis.credentials import CredentialProvider

from lastword.redis.url import RedisUrl, parse
from lastword.settings.environment import SettingsError

logger = logging.getLogger(__name__)

_SECRETS = ("username", "password")


class Login(CredentialProvider):
    """redis-py's source of user and password: those of the URL as it is now; as they were where it cannot be read.

    ``sentinels``: those for the Sentinels.
    """

    def __init__(self, url: RedisUrl, read: Callable[[], str | None], *, sentinels: bool = False) -> None:
        self._read = read
        self._sentinels = sentinels
        self._last = self._of(url)
        self._complaint = ""

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """What to log in with; nothing where no password is given."""
        try:
            url = self._read()
            self._last = self._of(parse(url)) if url else self._last
        except (SettingsError, ValueError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                logger.warning("the user and the password of before are used: %s", error)
        else:
            self._complaint = ""
        return self._last  # type: ignore[return-value]  # redis-py: what is empty is no login

    def _of(self, url: RedisUrl) -> tuple[str, ...]:
        given = url.sentinel_login if self._sentinels else url.options
        user, password = (str(given.get(name) or "") for name in _SECRETS)
        return (user, password) if user else (password,) if password else ()


def with_login(url: RedisUrl, read: Callable[[], str | None]) -> RedisUrl:
    """The URL with a login that ``read`` gives anew: it returns the URL as it is now."""

    def without(options: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in options.items() if name not in _SECRETS}

    return replace(
        url,
        options={**without(url.options), "credential_provider": Login(url, read)},
        sentinel_login={"credential_provider": Login(url, read, sentinels=True)} if url.kind == "sentinel" else {},
    )
