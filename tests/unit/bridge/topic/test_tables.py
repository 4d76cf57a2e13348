"""Rows of several tables on one topic are told, each further table once."""

import pytest

from bridge.topic.tables import NAMED_MAX, Tables


def test_each_further_table_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tables = Tables()
    for table in ("", "shop.products", "", "shop.products"):
        tables.note(table)
    assert not caplog.records
    for table in ("shop.orders", "shop.products", "shop.orders", "shop.stock"):
        tables.note(table)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "shop.products, shop.orders:" in caplog.records[0].getMessage()
    assert "shop.products, shop.orders, shop.stock:" in caplog.records[1].getMessage()


def test_of_very_many_tables_no_more_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tables = Tables()
    for number in range(10 * NAMED_MAX):
        tables.note(f"shop.part_{number}")
    assert len(caplog.records) == NAMED_MAX - 1
