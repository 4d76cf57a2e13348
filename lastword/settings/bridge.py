"""The bridge's settings: Kafka, the window's bounds and its clocks. Each is an environment variable."""

import os
import re

from pydantic import AliasChoices, Field, ValidationInfo, field_validator

from lastword.settings.environment import (
    FILE_SUFFIX,
    Settings,
    environment_names,
    read_if_given,
    unknown,
    unknown_settings,
)
from lastword.settings.group_protocol import unfit
from lastword.settings.shared import ENV_PREFIX, SettingsError, TaskSettings

KAFKA_PREFIX = f"{ENV_PREFIX}KAFKA_"


class BridgeSettings(Settings):
    """What the bridge needs to know beside what it shares with the worker."""

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        min_length=1,
        validation_alias=AliasChoices("kafka_bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS"),
        description="Kafka's brokers to ask first, `host:port,host:port`",
    )
    topic: str = Field("product-updates", pattern=r"^[A-Za-z0-9._-]{1,240}$", description="The topic of the changes")
    dead_letter_topic: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Where records go that cannot be applied; not set: `<topic>-dlt`",
    )
    consumer_group: str = Field("lastword", min_length=1, description="The bridge's Kafka consumer group")
    create_topics: int = Field(
        0,
        ge=0,
        le=1_000,
        description="With how many partitions the topic and the dead-letter topic are created if they are missing; 0: "
        "they are not",
    )

    in_flight_bytes_max: int = Field(
        64 * 2**20, ge=1, description="The most memory for updates that are sent and not yet seen in Redis"
    )

    updates_per_task: int = Field(
        1,
        ge=1,
        le=1_000,
        description="The most updates in one task: more than 1 lets a backlog share tasks (200 is much faster); at the "
        "head of the topic each update has its own all the same",
    )
    wait_replicas: int = Field(
        0, ge=0, description="How many replicas of Redis must have a write before it counts as visible (`WAIT`)"
    )

    undecodable_max: int = Field(
        100,
        ge=1,
        description="How many records in a row of a partition may be invalid; with one more it pauses until a restart",
    )

    shutdown_deadline_s: float = Field(
        20.0, ge=0, description="How long a bridge that is stopped waits for the updates in flight"
    )

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


GUARDED = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
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

PATHS = frozenset(f"sasl.oauthbearer.assertion.{name}" for name in ("file", "private.key.file", "jwt.template.file"))
"""The librdkafka properties whose own names end as our variables do that name a file."""

SECRET = re.compile(r"password|passphrase|secret|\.pem$|jaas|oauthbearer\.config$")
"""What the names of librdkafka properties have in common whose values must not be seen."""

UNDERSCORED = {"log.level": "log_level"}
"""The librdkafka properties that are not spelt with dots alone: one."""


def kafka_properties(settings: BridgeSettings) -> dict[str, str | int | bool]:
    """Return the librdkafka properties of every client, those of the environment included.

    ``LASTWORD_KAFKA_SSL_CA_LOCATION`` is ``ssl.ca.location``. SettingsError for one that a guarantee rests on, that
    has a setting of its own, that does not fit the group protocol, or whose file cannot be read.
    """
    given = _given_properties()
    for name in sorted((GUARDED | ADDRESSES) & given.keys()):
        reason = (
            "it cannot be set, a guarantee rests on it" if name in GUARDED else "set KAFKA_BOOTSTRAP_SERVERS instead"
        )
        raise _wrong_property(name, given[name], reason)
    if foreign := unfit(given):
        name, reason = foreign
        raise _wrong_property(name, given[name], reason)
    return {"client.id": "lastword", **given, "bootstrap.servers": settings.kafka_bootstrap_servers}


def _wrong_property(name: str, value: str, reason: str) -> SettingsError:
    shown = "a secret value" if _is_secret(name) else repr(value)
    return SettingsError(f"setting {_variable(name)}: given {shown}; {reason}")


def complaint_about_property(complaint: str) -> str:
    """What librdkafka says of a property, with the variable behind it, and without any secret that it quotes."""
    given = _given_properties()
    name = max((name for name in given if name in complaint), key=len, default="")
    for secret in sorted({given[name] for name in given if _is_secret(name)} - {""}, key=len, reverse=True):
        complaint = complaint.replace(secret, "(a secret value)")
    return f"setting {_variable(name) if name else f'{KAFKA_PREFIX}...'}: {complaint}"


def refuse_unknown_settings() -> None:
    """Raise SettingsError for an environment variable that looks like a setting and is none: it may be misspelt."""
    known = environment_names([BridgeSettings, TaskSettings])
    for name in unknown_settings(known):
        if not name.startswith(KAFKA_PREFIX):
            raise unknown(name, known)


def _given_properties() -> dict[str, str]:
    given = {}
    for variable, value in os.environ.items():
        if not variable.startswith(KAFKA_PREFIX):
            continue
        name = _property(variable)
        if name.endswith(".file") and name not in PATHS:
            variable = variable.removesuffix(FILE_SUFFIX)  # noqa: PLW2901
            value = read_if_given(variable) or value  # noqa: PLW2901
        given[_property(variable)] = value
    return given


def _property(variable: str) -> str:
    dotted = variable.removeprefix(KAFKA_PREFIX).lower().replace("_", ".")
    return UNDERSCORED.get(dotted, dotted)


def _variable(name: str) -> str:
    """The environment variable that gives the property, itself or by a file."""
    variable = f"{KAFKA_PREFIX}{name.upper().replace('.', '_')}"
    in_file = variable not in os.environ and f"{variable}{FILE_SUFFIX}" in os.environ
    return f"{variable}{FILE_SUFFIX}" if in_file else variable


def _is_secret(name: str) -> bool:
    by_a_file = _property(_variable(name)) != name
    return by_a_file or SECRET.search(name) is not None
