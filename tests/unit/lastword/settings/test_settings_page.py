"""The documentation has each setting as the code has it."""

from lastword.settings.bridge import BridgeSettings
from lastword.settings.shared import TaskSettings
from tests.settings_table import PAGE, page_with, tables


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(tables(), page), "the page is out of date: make settings"


def test_every_setting_has_a_meaning() -> None:
    fields = {**TaskSettings.model_fields, **BridgeSettings.model_fields}
    assert not [name for name, info in fields.items() if not info.description]


def test_a_table_that_is_out_of_date_is_seen() -> None:
    page = PAGE.read_text(encoding="utf-8")
    old = page.replace("| `LASTWORD_UNDECODABLE_MAX` | `100` |", "| `LASTWORD_UNDECODABLE_MAX` | `101` |")
    assert old != page
    assert page_with(tables(), old) == page
