"""Other people's packages that have the names of ours: a service may well have a package named ``tasks``."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Final

import click

import lastword

OURS: Final = Path(lastword.__file__).resolve().parents[1]
NAMES: Final = ("bridge", "tasks")

EXIT_FOREIGN: Final = 2


class ForeignError(click.ClickException):
    """A package of another's is found where ours is looked for."""

    exit_code = EXIT_FOREIGN

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(
            f"a foreign package named {name!r} stands in the way of Lastword's own: {path}; start the command where "
            "Python does not find it (another folder, no PYTHONPATH), from an environment of its own"
        )


def refuse_foreign(*first: str) -> None:
    """Raise ForeignError where Python, looking into ``first`` before all else, finds other packages than ours."""
    for name in NAMES:
        path = path_of(name, *first)
        if path is not None and path.resolve().parent != OURS:
            raise ForeignError(name, path)


def path_of(name: str, *first: str) -> Path | None:
    """The folder or file that an import of ``name`` would take; None where there is none."""
    # In this order: an installation in place ("pip install -e") is found only where no folder has the name.
    spec = PathFinder.find_spec(name, [*first, *sys.path]) or _spec_by_hooks(name)
    if spec is None:
        return None
    if spec.origin is None:
        return Path(next(iter(spec.submodule_search_locations or [""])))
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _spec_by_hooks(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # a module without a spec
        return None
