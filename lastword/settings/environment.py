"""Settings from the environment: each variable, or the file that ``<variable>_FILE`` names, checked in one place."""

import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENV_PREFIX = "LASTWORD_"
FILE_SUFFIX = "_FILE"

GONE: Final = {
    "LASTWORD_CALL_TIMEOUT_S": "Redis and ZooKeeper have 5 s to answer one call",
    "LASTWORD_FUTURE_LIMIT_S": "a record may be a day ahead of this machine's clock",
    "LASTWORD_IN_FLIGHT_MAX": "10,000 updates may be in flight; LASTWORD_IN_FLIGHT_BYTES_MAX bounds their memory",
    "LASTWORD_LOCK_BUSY_RETRY_S": "a task whose lock is held is retried after 1 to 5 s",
    "LASTWORD_LOCK_WAIT_S": "a task's first try waits 1 s for a busy lock",
    "LASTWORD_PARTITIONS": "LASTWORD_CREATE_TOPICS is the number of partitions of a topic that is created",
    "LASTWORD_RETRY_MAX_S": "the pauses between retries double, up to 60 s",
    "LASTWORD_SILENCE_MAX_S": "while nothing is confirmed, probes are at most 60 s apart",
    "LASTWORD_STARTED_MAX_S": "a worker that is at one update for 30 s counts as killed by it",
    "LASTWORD_TASK_LIFE_S": "a task is retried for 600 s after it was sent",
    "LASTWORD_TIMEOUT_FLOOR_S": "an update is sent again after 2 s at the soonest",
    "LASTWORD_TIMEOUT_MAX_S": "an update is sent again after 600 s at the latest",
    "LASTWORD_UNEXPECTED_RETRIES": "after an error that nobody foresaw there are 5 retries",
    "LASTWORD_ZOOKEEPER_TLS": "LASTWORD_ZOOKEEPER_TLS_CA, a file or `system`, is enough for TLS",
}
"""Settings of earlier releases, and what holds instead."""


class SettingsError(Exception):
    """One or more settings are wrong; a line for each: its name, what was given, what is allowed."""


class Settings(BaseSettings):
    """Fields that are environment variables, or the contents of files: secrets of Docker and Kubernetes."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment and our files; pydantic's own two sources of files are left out."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _FileSource(settings_cls)


S = TypeVar("S", bound=Settings)


class _FileSource(PydanticBaseSettingsSource):
    """What is given as ``<variable>_FILE``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return read_if_given(environment_name(self.settings_cls, field_name)), field_name, False

    def __call__(self) -> dict[str, Any]:
        values, complaints = {}, []
        for name, field in self.settings_cls.model_fields.items():
            try:
                values[name], _, _ = self.get_field_value(field, name)
            except SettingsError as error:
                complaints.append(str(error))
        if complaints:
            raise SettingsError("\n".join(complaints))
        return {name: value for name, value in values.items() if value is not None}


def read_if_given(variable: str) -> str | None:
    """The text of the file that ``<variable>_FILE`` names, without the newline at its end; None if it is not set.

    Raises SettingsError when the variable itself is set too, or the file cannot be read or is empty.
    """
    path = os.environ.get(f"{variable}{FILE_SUFFIX}")
    if path is None:
        return None
    if variable in os.environ:
        raise SettingsError(f"settings {variable} and {variable}{FILE_SUFFIX}: both are given; one is allowed")
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"setting {variable}{FILE_SUFFIX}: the file {path!r} cannot be read: {reason}") from None
    if not text:
        raise SettingsError(f"setting {variable}{FILE_SUFFIX}: the file {path!r} is empty")
    return text


def is_in_file(variable: str) -> bool:
    """Whether ``<variable>_FILE`` is set."""
    return f"{variable}{FILE_SUFFIX}" in os.environ


def load(kind: type[S], **given: Any) -> S:  # noqa: ANN401 - as pydantic has it
    """Return the settings of ``kind`` as the environment gives them, but for those ``given``.

    SettingsError names every wrong one.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(kind, error))) from None


def environment_name(kind: type[BaseSettings], field: str) -> str:
    """Return the environment variable behind a field, which pydantic may name by either of the two."""
    info = kind.model_fields.get(field)
    if info is None:
        return field if field.isupper() else f"{ENV_PREFIX}{field}".upper()
    alias = info.validation_alias
    return str(alias.choices[-1]) if isinstance(alias, AliasChoices) else f"{ENV_PREFIX}{field}".upper()


def environment_names(kinds: Iterable[type[BaseSettings]]) -> set[str]:
    """All variables that set a field of one of these, those that name a file included."""
    names = {environment_name(kind, field) for kind in kinds for field in kind.model_fields}
    return names | {f"{name}{FILE_SUFFIX}" for name in names}


def unknown_settings(known: set[str]) -> list[str]:
    """All variables that look like a setting of ours and are not among ``known``."""
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)


def is_gone(name: str) -> bool:
    """Whether it was a setting of an earlier release, itself or by a file."""
    return name.removesuffix(FILE_SUFFIX) in GONE


def unknown(name: str, known: set[str]) -> SettingsError:
    """The error for a setting that does not exist. What it was given is not said: it may be a secret."""
    if is_gone(name):
        instead = GONE[name.removesuffix(FILE_SUFFIX)]
        return SettingsError(f"setting {name}: there is no such setting any more; {instead}")
    near = get_close_matches(name, known, 1)
    return SettingsError(f"setting {name}: there is no such setting{f'; did you mean {near[0]}?' if near else ''}")


def is_secret(kind: type[BaseSettings], field: str) -> bool:
    """Whether the field's value must not be seen."""
    info = next(
        (info for name, info in kind.model_fields.items() if field in {name, environment_name(kind, name)}), None
    )
    return info is not None and SecretStr in {info.annotation, *get_args(info.annotation)}


def _complaints(kind: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_input=True, include_url=False):
        field = str(detail["loc"][0]) if detail["loc"] else ""
        name = environment_name(kind, field)
        in_file = f"{name}{FILE_SUFFIX}" in os.environ
        given = "a secret value" if in_file or is_secret(kind, field) else repr(detail["input"])
        yield f"setting {name}{FILE_SUFFIX * in_file}: given {given}; {_allowed(detail['msg'])}"


def _allowed(message: str) -> str:
    return re.sub("^(Value error, |(Input|String) (?=should))", "it ", message)
