"""What a flow is called, which queue it has, and what its tasks say of it."""

import itertools
import runpy
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword.contract.flow import Destination, flow_of
from lastword.contract.record import Update
from lastword.contract.task import Arguments, shown
from lastword.contract.version import Version
from lastword.settings.environment import SettingsError, load
from lastword.settings.flow import FlowSettings
from tests.commands import REPOSITORY

PREFIXES = [
    "product:",
    "order-",
    "order:",
    "order",
    "order-:",
    "order::",
    "orders/eu:",
    ":",
    "-",
    "é:",
    "order.eu:",
    "a b:",
]
PLAIN = set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize(
    ("prefix", "flow", "queue"),
    [
        ("product:", "product", "lastword"),
        ("order-", "order-", "lastword.order-"),
        ("stock:", "stock", "lastword.stock"),
        ("tenant.7:", "tenant.7", "lastword.tenant.7"),
    ],
)
def test_the_name_comes_from_the_prefix(monkeypatch: pytest.MonkeyPatch, prefix: str, flow: str, queue: str) -> None:
    monkeypatch.setenv("LASTWORD_KEY_PREFIX", prefix)
    settings = load(FlowSettings)
    assert (settings.flow_name, settings.queue) == (flow, queue)
    assert runpy.run_path(str(REPOSITORY / "lastword/celeryconfig.py"))["task_default_queue"] == queue


def test_a_name_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTWORD_KEY_PREFIX", "x:")
    monkeypatch.setenv("LASTWORD_FLOW", "orders")
    assert load(FlowSettings).queue == "lastword.orders"
    monkeypatch.setenv("LASTWORD_FLOW", "product")
    assert load(FlowSettings).queue == "lastword"


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a" * 65, "é"])
def test_a_name_that_cannot_be(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    monkeypatch.setenv("LASTWORD_FLOW", name)
    with pytest.raises(SettingsError, match="setting LASTWORD_FLOW: given"):
        load(FlowSettings)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "lastword/celeryconfig.py"))
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("lastword: setting LASTWORD_FLOW: given")


def test_two_prefixes_never_have_one_name() -> None:
    names = {prefix: flow_of(prefix) for prefix in PREFIXES}
    for one, other in itertools.combinations(PREFIXES, 2):
        assert names[one] != names[other], (one, other)


@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100))
def test_any_prefix_has_a_name_that_a_queue_can_have(one: str, other: str) -> None:
    name = flow_of(one)
    assert 0 < len(name) <= 64
    assert set(name) <= PLAIN
    assert name[0].isalnum()
    assert (name == flow_of(other)) == (one == other)


def test_what_is_shown_of_a_task_names_its_flow_unless_it_is_long_or_the_default() -> None:
    def told(flow: str) -> str:
        to = Destination(flow, "x:")
        update = Update(entity_id="T-1", version=Version(2, 3), data=b"1")
        return shown(Arguments(update=update, nonce="n", first_sent=1, not_after=2, to=to))

    assert told("stock") == "('T-1', 2-3, flow stock)"
    assert told("product") == told("s" * 21) == "('T-1', 2-3)"
