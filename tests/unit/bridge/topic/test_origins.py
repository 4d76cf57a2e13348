"""Rows of several tables on one topic are told, each further table once; two connectors at a time stop a partition."""

import pytest

from bridge.topic.origins import NAMED_MAX, Connectors, Origins
from lastword.formats.origin import Origin


def test_each_further_table_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    origins = Origins()
    for table in ("", "shop.products", "", "shop.products"):
        origins.note(Origin(table))
    assert not caplog.records
    for table in ("shop.orders", "shop.products", "shop.orders", "shop.stock"):
        origins.note(Origin(table))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "shop.products, shop.orders:" in caplog.records[0].getMessage()
    assert "shop.products, shop.orders, shop.stock:" in caplog.records[1].getMessage()


def test_of_very_many_tables_no_more_is_told(caplog: pytest.LogCaptureFixture) -> None:
    origins = Origins()
    for number in range(10 * NAMED_MAX):
        origins.note(Origin(f"shop.part_{number}"))
    assert len(caplog.records) == NAMED_MAX - 1


def test_ids_whose_changes_nothing_tells_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    origins = Origins()
    origins.note(Origin("shop.products"))
    assert not caplog.records
    for _ in range(3):
        origins.note(Origin("shop.products", hides_moves=True))
    [record] = caplog.records
    assert "REPLICA IDENTITY FULL" in record.getMessage()


def test_one_connector_may_follow_another_and_two_may_not_write_by_turns() -> None:
    connectors = Connectors()
    for name in ("", "shop", "shop", "", "shop-2", "shop-2", ""):
        assert not connectors.why_stop(Origin(connector=name))
    assert not connectors.why_stop(Origin(connector="shop")), "a name that was taken back"
    assert "'shop' and 'shop-2' write it by turns" in connectors.why_stop(Origin(connector="shop-2"))
    assert not Connectors().why_stop(Origin(connector="shop"))
