"""Functions of the user's own, named in a setting as ``module:function``."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lastword.settings.environment import SettingsError


def import_function(setting: str, name: str) -> Callable[..., Any]:
    """Import ``module:function``, from the working directory too. SettingsError when there is no such function."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module, _, function = name.partition(":")
    try:
        target: object = importlib.import_module(module)
        for part in function.split("."):
            target = getattr(target, part)
    except Exception as error:  # whatever the user's module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError(f"setting {setting}: given {name!r}; it cannot be imported: {reason}") from error
    if not callable(target):
        raise SettingsError(f"setting {setting}: given {name!r}; that is {target!r:.80}, and no function")
    return target
