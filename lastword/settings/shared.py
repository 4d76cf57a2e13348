"""Settings that the worker and the bridge share, read from the environment and checked in one place."""

import math
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator

from lastword.contract.record import KeyForm, Rules
from lastword.contract.rfc3339 import parse_rfc3339
from lastword.contract.task import TASK_LIFE_S
from lastword.contract.version import GENERATIONS
from lastword.settings.environment import (
    ENV_PREFIX,
    SettingsError,
    environment_name,
    environment_names,
    is_gone,
    load,
    unknown,
    unknown_settings,
)
from lastword.settings.flow import FlowSettings
from lastword.settings.stock import StockSettings
from lastword.settings.zookeeper import ZooKeeperSettings

__all__ = ["ENV_PREFIX", "SettingsError", "TaskSettings", "environment_name", "load", "refuse_misspelt_settings"]

REDIS_SCHEMES: Final = (
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)

FUNCTION: Final = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
"""``module:function``."""

NEAR = 0.9
"""How alike two names are (difflib's ratio) of which one must be meant to be the other."""

RULES: Final = Rules()


class TaskSettings(StockSettings, FlowSettings, ZooKeeperSettings):
    """What a worker needs to know beside Celery's own settings; each is an environment variable."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="The Redis that is the cache, with user and password where it wants them",
    )
    startup_deadline_s: float = Field(
        60.0, ge=0, description="How long a start waits for servers that cannot be reached; then exit code 3"
    )
    heartbeat_file: Path | None = Field(
        None, description="A file touched while the process's loop goes round: its age tells a health check"
    )

    replay_horizon_s: int = Field(
        7 * 86_400, gt=0, description="How old a record may be that still arrives: at least the topic's retention"
    )
    ttl_s: int | None = Field(
        None, le=10**10, description="When a product expires in Redis after its last write; at least the horizon"
    )
    tombstone_ttl_s: int | None = Field(
        None, le=10**10, description="When a deleted product's tombstone expires; at least the horizon"
    )

    format: str = Field(
        "json",
        pattern=rf"^(json|debezium|debezium-unwrapped|canal|maxwell|cloudevents|{FUNCTION})$",
        description="What records are written in: `json` (our own), `debezium`, `debezium-unwrapped`, `canal`, "
        "`maxwell`, `cloudevents`, or `module:function` for a decoder of yours",
    )
    id_field: str = Field(
        "id",
        pattern=r"^[^,]+(,[^,]+)*$",
        description="The column that is the product id, in formats whose records carry rows; or several: `tenant,id`",
    )
    row_columns: str = Field(
        "",
        description="Columns that a row must have, with commas between; one without them is loaded, or dead-lettered",
    )
    table_in_one_partition: bool = Field(
        default=False,
        description="The source writes all rows of the table into one partition: then its order is also that of rows "
        "whose id changes",
    )
    debezium_placeholder: str = Field(
        RULES.placeholder, min_length=1, description="The connector's `unavailable.value.placeholder`"
    )
    debezium_added_prefix: str = Field(
        RULES.added_prefix, min_length=1, description="The flattening's `add.fields.prefix` and `add.headers.prefix`"
    )
    key_form: KeyForm = Field(
        KeyForm.TEXT, description="How a record's key carries the product id: `text`, `json`, or `int64` (big-endian)"
    )
    key_must_agree: bool = Field(
        default=True, description="A key that is not the value's product id makes a record invalid"
    )
    positions_anew: str = Field(
        "",
        description="When the positions by which a source orders its changes began anew, as after a restored backup or "
        "with a new topic: times in RFC 3339, with commas between, by the records' own timestamps",
    )
    tombstone_time_from_record: bool = Field(
        default=False, description="Date a record without value and `updated_at` header by the record's own timestamp"
    )

    loader: str | None = Field(
        None,
        pattern=rf"^{FUNCTION}$",
        description="`module:function` that loads products' rows, for change notices; bridge and workers need it",
    )
    loader_timeout_s: float = Field(
        2.0,
        gt=0,
        validate_default=True,
        description="How long one call of the loader may take: less than half of the session timeout",
    )
    loader_lag_s: float = Field(
        300.0,
        ge=0,
        lt=TASK_LIFE_S,
        description="How long a row may be missing, or older than its notice; then it counts as deleted, or fails for "
        f"good. Less than {TASK_LIFE_S} s, for which a task is retried",
    )

    @field_validator("positions_anew")
    @classmethod
    def _times(cls, given: str) -> str:
        try:
            times = _times_ms(given)
        except ValueError as error:
            raise ValueError(f"should be times with commas between: {error}") from error
        if times != sorted(set(times)) or len(times) >= GENERATIONS:
            raise ValueError(f"should be ascending times, no more than {GENERATIONS - 1}")
        return given

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(REDIS_SCHEMES):
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

    @field_validator("loader_timeout_s")
    @classmethod
    def _within_the_lock(cls, timeout_s: float, info: ValidationInfo) -> float:
        # Past half of the session timeout a lock is not relied on, and what was loaded would be in vain.
        half_s = info.data.get("session_timeout_s", math.inf) / 2
        if info.data.get("loader") and timeout_s >= half_s:
            raise ValueError(f"should be less than half of LASTWORD_SESSION_TIMEOUT_S, which is {half_s:g} s")
        return timeout_s

    @property
    def rules(self) -> Rules:
        """The rules by which records become updates."""
        return Rules(
            format=self.format,
            id_field=self.id_field,
            columns=tuple(name.strip() for name in self.row_columns.split(",") if name.strip()),
            one_partition=self.table_in_one_partition,
            placeholder=self.debezium_placeholder,
            added_prefix=self.debezium_added_prefix,
            key_form=self.key_form,
            key_must_agree=self.key_must_agree,
            tombstone_time_from_record=self.tombstone_time_from_record,
            notices=self.loader is not None,
            anew_ms=tuple(_times_ms(self.positions_anew)),
        )


def _times_ms(given: str) -> list[int]:
    """The times in a list with commas; ValueError for one that is none."""
    return [parse_rfc3339(time.strip()) // 1_000 for time in given.split(",") if time.strip()]


def refuse_misspelt_settings() -> None:
    """Raise SettingsError for a variable that is almost a setting of the worker, or was one; others may be newer."""
    known = environment_names([TaskSettings])
    for name in unknown_settings(known):
        if is_gone(name) or get_close_matches(name, known, 1, NEAR):
            raise unknown(name, known)
