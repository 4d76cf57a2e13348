"""Settings that the worker and the bridge share, read from the environment and checked in one place."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.contract import KeyForm, Rules

ENV_PREFIX = "LASTWORD_"

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """One or more settings are wrong; a line for each: its name, what was given, what is allowed."""


class TaskSettings(BaseSettings):
    """What a worker needs to know beside Celery's own settings; each is an environment variable."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias=AliasChoices("redis_url", "REDIS_URL"))
    zookeeper_hosts: str = Field(
        "127.0.0.1:2181", min_length=1, validation_alias=AliasChoices("zookeeper_hosts", "ZOOKEEPER_HOSTS")
    )
    zookeeper_root: str = Field("/lastword", pattern=r"^(/[A-Za-z0-9._-]+)+$")
    session_timeout_s: float = Field(10.0, ge=1, le=40)
    lock_wait_s: float = Field(1.0, ge=0, le=1)
    call_timeout_s: float = Field(5.0, gt=0, le=5)
    startup_deadline_s: float = Field(60.0, ge=0)
    heartbeat_file: Path | None = None

    key_prefix: str = Field("product:", min_length=1)
    replay_horizon_s: int = Field(7 * 86_400, gt=0)
    ttl_s: int | None = Field(None, le=10**10)
    tombstone_ttl_s: int | None = Field(None, le=10**10)

    key_form: KeyForm = KeyForm.TEXT
    key_must_agree: bool = True
    future_limit_s: float = Field(86_400.0, ge=0)
    tombstone_time_from_record: bool = False

    lock_busy_retry_s: int = Field(5, ge=1)
    retry_max_s: int = Field(60, ge=1)
    unexpected_retries: int = Field(5, ge=0)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, url: str) -> str:
        if not url.startswith(REDIS_SCHEMES):
            raise ValueError(f"should start with one of {', '.join(REDIS_SCHEMES)}")
        return url

    @field_validator("ttl_s", "tombstone_ttl_s")
    @classmethod
    def _outlives_the_horizon(cls, ttl_s: int | None, info: ValidationInfo) -> int | None:
        # Once a version is forgotten, an older update that is still on its way would win.
        horizon_s = info.data.get("replay_horizon_s", 0)
        if ttl_s is not None and ttl_s < horizon_s:
            raise ValueError(f"should be at least LASTWORD_REPLAY_HORIZON_S ({horizon_s} s), or not set: no expiry")
        return ttl_s

    @property
    def rules(self) -> Rules:
        """The rules by which records become updates."""
        return Rules(
            key_form=self.key_form,
            key_must_agree=self.key_must_agree,
            future_limit_s=self.future_limit_s,
            tombstone_time_from_record=self.tombstone_time_from_record,
        )


def load(kind: type[S]) -> S:
    """Return the settings of ``kind`` as the environment gives them; SettingsError names every wrong one."""
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(kind, error))) from None


def _complaints(kind: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_input=True, include_url=False):
        field = str(detail["loc"][0]) if detail["loc"] else ""
        given = "a secret value" if "url" in field.lower() else repr(detail["input"])
        yield f"setting {environment_name(kind, field)}: given {given}; {_allowed(detail['msg'])}"


def environment_name(kind: type[BaseSettings], field: str) -> str:
    """Return the environment variable behind a field, which pydantic may name by either of the two."""
    info = kind.model_fields.get(field)
    if info is None:
        return field if field.isupper() else f"{ENV_PREFIX}{field}".upper()
    alias = info.validation_alias
    return str(alias.choices[-1]) if isinstance(alias, AliasChoices) else f"{ENV_PREFIX}{field}".upper()


def _allowed(message: str) -> str:
    return re.sub("^(Value error, |(Input|String) (?=should))", "it ", message)
