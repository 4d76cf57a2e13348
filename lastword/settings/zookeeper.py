"""Where ZooKeeper is, how it is spoken to, and how long the locks of a dead worker last."""

from pathlib import Path
from typing import Final

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator

from lastword.settings.environment import Settings

SYSTEM_CA: Final = "system"
"""In the place of a file of authorities: those that the system has."""


class ZooKeeperSettings(Settings):
    """What workers need for their locks."""

    zookeeper_hosts: str = Field(
        "127.0.0.1:2181",
        min_length=1,
        validation_alias=AliasChoices("zookeeper_hosts", "ZOOKEEPER_HOSTS"),
        description="ZooKeeper's servers, `host:port,host:port`; a `/path` after them must exist",
    )
    zookeeper_root: str = Field(
        "/lastword", pattern=r"^(/[A-Za-z0-9._-]+)+$", description="The znode under which all of ours are"
    )
    zookeeper_auth: SecretStr | None = Field(
        None,
        description="`user:password`: digest authentication; the znodes we make are for this user alone. "
        "Give it over TLS only",
    )
    zookeeper_tls_ca: str | None = Field(
        None,
        description="PEM file of the authorities that ZooKeeper's certificate may come from, or `system` for the "
        "system's: the connection is TLS, names and certificates are checked. Not set: no TLS",
    )
    zookeeper_tls_cert: str | None = Field(
        None, description="PEM file of our own certificate, where ZooKeeper asks for one"
    )
    zookeeper_tls_key: str | None = Field(
        None, validate_default=True, description="PEM file of the private key of our own certificate"
    )
    zookeeper_tls_key_password: SecretStr | None = Field(None, description="The password of that key, if it has one")
    session_timeout_s: float = Field(
        10.0, ge=1, le=40, description="How long the locks of a dead worker last; 2 to 20 of ZooKeeper's ticks"
    )

    @field_validator("zookeeper_auth")
    @classmethod
    def _user_and_password(cls, auth: SecretStr | None) -> SecretStr | None:
        user, _, password = auth.get_secret_value().partition(":") if auth is not None else ("-", "", "-")
        if not user or not password:
            raise ValueError("should be user:password")
        return auth

    @field_validator("zookeeper_tls_cert", "zookeeper_tls_key", "zookeeper_tls_key_password")
    @classmethod
    def _is_for_tls(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        if value is not None and info.data.get("zookeeper_tls_ca", "") is None:
            raise ValueError("has no effect without LASTWORD_ZOOKEEPER_TLS_CA")
        return value

    @field_validator("zookeeper_tls_ca", "zookeeper_tls_cert", "zookeeper_tls_key")
    @classmethod
    def _can_be_read(cls, path: str | None) -> str | None:
        if path in {None, SYSTEM_CA}:
            return path
        try:
            with Path(path).open("rb"):
                return path
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"should be the path of a file that can be read: {reason}") from None

    @field_validator("zookeeper_tls_key")
    @classmethod
    def _goes_with_a_certificate(cls, key: str | None, info: ValidationInfo) -> str | None:
        # Either alone would silently have no effect.
        if "zookeeper_tls_cert" in info.data and (key is None) != (info.data["zookeeper_tls_cert"] is None):
            raise ValueError("should be given if LASTWORD_ZOOKEEPER_TLS_CERT is, and only then")
        return key
