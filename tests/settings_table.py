"""``python -m tests.settings_table`` renews the tables in the documentation, made from the settings' classes."""

import os
import runpy
from enum import Enum
from unittest.mock import patch

from pydantic import SecretStr

from lastword.settings.bridge import BridgeSettings
from lastword.settings.environment import environment_name
from lastword.settings.shared import TaskSettings
from tests.commands import REPOSITORY, clean_env

PAGE = REPOSITORY / "docs" / "settings-reference.md"
BROKER = "Celery's broker; other settings of Celery are in `celeryconfig.py`"
BROKER_OPTIONS = "More options of the broker's transport, a JSON object: Sentinels need `master_name` there"

Kind = type[TaskSettings] | type[BridgeSettings]


def page_with(tables: dict[str, str], page: str) -> str:
    """``page``, each table between ``<!-- name -->`` and ``<!-- end -->`` replaced by the one of that name."""
    for name, lines in tables.items():
        before, start, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert start, f"no place for the table {name!r} in {PAGE}"
        assert end, f"no end of the table {name!r} in {PAGE}"
        page = f"{before}{start}{lines}{end}{after}"
    return page


def tables() -> dict[str, str]:
    """The rows in the order of the classes; an address, which has a name of its own, is in the first table."""
    fields: list[tuple[Kind, str]] = [
        (kind, field) for kind in (BridgeSettings, TaskSettings) for field in kind.model_fields
    ]
    rows = {(kind, field): row(kind, field) for kind, field in fields}
    addresses = [line for line in rows.values() if not line.startswith("| `LASTWORD_")]
    with patch.dict(os.environ, clean_env({}), clear=True):
        broker = runpy.run_path(str(REPOSITORY / "lastword/celeryconfig.py"))["broker_url"]
    addresses.append(f"| `CELERY_BROKER_URL` | `{broker}` | | {BROKER} |\n")
    addresses.append(f"| `CELERY_BROKER_TRANSPORT_OPTIONS` | `{{}}` | | {BROKER_OPTIONS} |\n")

    def of(kind: Kind) -> list[str]:
        return [line for (owner, _), line in rows.items() if owner is kind and line not in addresses]

    return {
        name: table(lines)
        for name, lines in {"addresses": addresses, "worker": of(TaskSettings), "bridge": of(BridgeSettings)}.items()
    }


def row(kind: Kind, field: str) -> str:
    """One line: name, default, unit, meaning."""
    info = kind.model_fields[field]
    unit = "s" if field.endswith("_s") else "bytes" if "_bytes_" in field else ""
    meaning = (info.description or "").replace("|", r"\|")
    return f"| `{environment_name(kind, field)}` | {shown(info.default)} | {unit} | {meaning} |\n"


def shown(default: object) -> str:
    """A default as one would write it in the environment."""
    if default is None:
        return "not set"
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    value = value.value if isinstance(value, Enum) else value
    return (
        f"`{str(value).lower() if isinstance(value, bool) else f'{value:.10g}' if isinstance(value, float) else value}`"
    )


def table(lines: list[str]) -> str:
    """The lines under their heading."""
    return f"| name | default | unit | meaning |\n|---|---|---|---|\n{''.join(lines)}"


if __name__ == "__main__":
    PAGE.write_text(page_with(tables(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
