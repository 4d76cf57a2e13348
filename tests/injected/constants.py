"""Other constants in workers and bridges that a test starts: pauses of a minute would make it last as long.

Each is ``module:NAME``, or ``module:NAME.field`` of a dataclass; the module gets it as soon as it has been imported.
"""

import dataclasses
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

VARIABLE: Final = "TEST_CONSTANTS"
REPOSITORY: Final = Path(__file__).parents[2]

LOCK_BUSY_MAX_S: Final = "tasks.celery_app:LOCK_BUSY_MAX_S"
RETRY_MAX_S: Final = "tasks.celery_app:RETRY_MAX_S"
UNEXPECTED_RETRIES: Final = "tasks.celery_app:UNEXPECTED_RETRIES"
STARTED_MAX_S: Final = "bridge.enqueue.delivery:STARTED_MAX_S"
TIMEOUT_FLOOR_S: Final = "bridge.run:CLOCKS.floor_s"
TIMEOUT_MAX_S: Final = "bridge.run:CLOCKS.max_s"
SILENCE_MAX_S: Final = "bridge.run:CLOCKS.silence_max_s"
IN_FLIGHT_MAX: Final = "bridge.run:IN_FLIGHT_MAX"
WAIT_S: Final = "bridge.run:WAIT_S"
CALL_TIMEOUTS: Final = ("lastword.redis.client:CALL_TIMEOUT_S", "tasks.lock.opening:CALL_TIMEOUT_S")


def injected_path() -> str:
    """The PYTHONPATH of a process that imports our ``sitecustomize``."""
    places = [str(REPOSITORY / "tests" / "injected"), str(REPOSITORY)]
    return os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])


def with_constants(environment: Mapping[str, str], values: Mapping[str, float]) -> dict[str, str]:
    """What is to be added to a process's environment for these constants, beside those that it has already."""
    before = json.loads(environment.get(VARIABLE, "{}"))
    return {"PYTHONPATH": injected_path(), VARIABLE: json.dumps(before | dict(values))}


def with_call_timeout(environment: Mapping[str, str], seconds: float) -> dict[str, str]:
    """The same, for how long Redis and ZooKeeper may take to answer one call, and Redis to wait for its replicas."""
    return with_constants(environment, dict.fromkeys(CALL_TIMEOUTS, seconds) | {WAIT_S: min(1.0, seconds / 2)})


def install() -> None:
    """Let each module that this process imports have its constants."""
    of: dict[str, dict[str, float]] = {}
    for place, value in json.loads(os.environ.get(VARIABLE, "{}")).items():
        module, _, name = place.partition(":")
        of.setdefault(module, {})[name] = value
    if of:
        sys.meta_path.insert(0, _Finder(of))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, constants: dict[str, dict[str, float]]) -> None:
        self._constants = constants

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._constants:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_set(module: ModuleType) -> None:
            execute(module)
            for name, value in self._constants[fullname].items():
                _set(module, name, value)

        loader.exec_module = execute_and_set
        return spec


def _set(module: ModuleType, name: str, value: float) -> None:
    name, _, field = name.partition(".")
    before = vars(module)[name]  # KeyError: there is no such constant any more
    vars(module)[name] = dataclasses.replace(before, **{field: value}) if field else value
