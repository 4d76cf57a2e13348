"""The locks that the settings name, and how the settings want ZooKeeper spoken to."""

from typing import Final

from lastword.settings.shared import SettingsError, TaskSettings
from lastword.settings.zookeeper import SYSTEM_CA
from tasks.lock.locks import Locks
from tasks.lock.zookeeper_client import Security, tls_context

CALL_TIMEOUT_S: Final = 5.0
"""How long ZooKeeper may take to answer one call."""


def open_locks(settings: TaskSettings) -> Locks:
    """Return the locks that the settings name; the session is opened at the first acquire. SettingsError likewise."""
    try:
        return Locks(
            settings.zookeeper_hosts,
            root=settings.zookeeper_root,
            prefix=settings.lock_prefix,
            session_timeout_s=settings.session_timeout_s,
            call_timeout_s=CALL_TIMEOUT_S,
            security=zookeeper_security(settings),
        )
    except ValueError as error:
        raise SettingsError(f"setting ZOOKEEPER_HOSTS: {error}") from None


def zookeeper_security(settings: TaskSettings) -> Security:
    """Return how the settings want ZooKeeper spoken to; SettingsError when a file for TLS cannot be used."""
    auth, key_password = settings.zookeeper_auth, settings.zookeeper_tls_key_password
    try:
        ca = settings.zookeeper_tls_ca
        tls = (
            None
            if ca is None
            else tls_context(
                ca=None if ca == SYSTEM_CA else ca,
                cert=settings.zookeeper_tls_cert,
                key=settings.zookeeper_tls_key,
                key_password=key_password.get_secret_value() if key_password is not None else None,
            )
        )
    except ValueError as error:
        raise SettingsError(f"settings LASTWORD_ZOOKEEPER_TLS_...: {error}") from None
    return Security(auth.get_secret_value() if auth is not None else None, tls)
