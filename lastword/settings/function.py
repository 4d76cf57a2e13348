"""Functions of the user's own, named in a setting as ``module:function``."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lastword.settings.environment import SettingsError


def import_function(setting: str, name: str) -> Callable[..., Any]:
    """Import ``module:function``, from the working directory too. SettingsError when there is no such function."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, function = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the user's module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError(f"setting {setting}: given {name!r}; it cannot be imported: {reason}") from error
    if not callable(found):
        raise SettingsError(f"setting {setting}: given {name!r}; that is {found!r:.80}, and no function")
    return found
