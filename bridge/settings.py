"""The bridge's settings: Kafka, the window's bounds and its clocks. Each is an environment variable."""

import os
from difflib import get_close_matches

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.settings import ENV_PREFIX, SettingsError, TaskSettings, environment_name

KAFKA_PREFIX = f"{ENV_PREFIX}KAFKA_"


class BridgeSettings(BaseSettings):
    """What the bridge needs to know beside what it shares with the worker."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        min_length=1,
        validation_alias=AliasChoices("kafka_bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS"),
    )
    topic: str = Field("product-updates", pattern=r"^[A-Za-z0-9._-]{1,240}$")
    dead_letter_topic: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,249}$")
    consumer_group: str = Field("lastword", min_length=1)
    create_topics: bool = False
    partitions: int = Field(8, ge=1, le=1_000)

    in_flight_max: int = Field(10_000, ge=1)
    in_flight_bytes_max: int = Field(64 * 2**20, ge=1)
    waiting_offsets_max: int = Field(1_000_000, ge=1)
    fetch_max: int = Field(500, ge=1, le=10_000)

    task_life_s: float = Field(600.0, gt=0)
    silence_max_s: float = Field(60.0, gt=0)
    timeout_floor_s: float = Field(2.0, gt=0)
    timeout_max_s: float = Field(600.0, gt=0)
    probes: int = Field(10, ge=1)
    look_first_s: float = Field(0.010, gt=0)
    look_max_s: float = Field(1.0, gt=0)

    back_off_max_s: float = Field(5.0, gt=0)
    shutdown_deadline_s: float = Field(20.0, ge=0)

    @field_validator("dead_letter_topic")
    @classmethod
    def _is_another_topic(cls, name: str | None, info: ValidationInfo) -> str | None:
        # The bridge would read its own dead letters, and write a dead letter for each.
        if name is not None and name == info.data.get("topic"):
            raise ValueError("should not be the same as LASTWORD_TOPIC")
        return name

    @property
    def letters_topic(self) -> str:
        """The dead-letter topic's name."""
        return self.dead_letter_topic or f"{self.topic}-dlt"

    @property
    def partitions_to_create(self) -> int | None:
        """With how many partitions a missing topic is made; None: it is not."""
        return self.partitions if self.create_topics else None


GUARDED = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "isolation.level",
        "partitioner",
        "request.required.acks",
        "transactional.id",
    }
)
"""The librdkafka properties on which the guarantees rest: they cannot be set from outside."""

ADDRESSES = frozenset({"bootstrap.servers", "metadata.broker.list"})
"""The librdkafka properties, two names for one, that have a setting of their own."""


UNDERSCORED = {"log.level": "log_level"}
"""The librdkafka properties that are not spelt with dots alone: one."""


def kafka_properties(settings: BridgeSettings) -> dict[str, str | int | bool]:
    """Return the librdkafka properties of every client, those of the environment included.

    ``LASTWORD_KAFKA_SSL_CA_LOCATION`` is ``ssl.ca.location``. SettingsError for one that a guarantee rests on, or that
    has a setting of its own.
    """
    dotted = {
        name.removeprefix(KAFKA_PREFIX).lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith(KAFKA_PREFIX)
    }
    given = {UNDERSCORED.get(name, name): value for name, value in dotted.items()}
    for name in sorted((GUARDED | ADDRESSES) & given.keys()):
        variable = f"{KAFKA_PREFIX}{name.upper().replace('.', '_')}"
        if name in ADDRESSES:
            raise SettingsError(f"setting {variable}: given {given[name]!r}; set KAFKA_BOOTSTRAP_SERVERS instead")
        raise SettingsError(f"setting {variable}: given {given[name]!r}; it cannot be set, a guarantee rests on it")
    return {"client.id": "lastword", **given, "bootstrap.servers": settings.kafka_bootstrap_servers}


def refuse_unknown_settings() -> None:
    """Raise SettingsError for an environment variable that looks like a setting and is none: it may be misspelt."""
    known = {environment_name(kind, field) for kind in (BridgeSettings, TaskSettings) for field in kind.model_fields}
    for name in sorted(os.environ):
        if name.startswith(ENV_PREFIX) and not name.startswith(KAFKA_PREFIX) and name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "there is no such setting"
            raise SettingsError(f"setting {name}: given {os.environ[name]!r}; {hint}")
