"""Rows by a deadline: what a loader returns, raises, or never returns."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from lastword.contract.errors import LoaderFailedError, LoaderSlowError, LoaderUnavailableError
from tasks.notices.loader import THREADS_MAX, WAITING_MAX, Loader
from tests.waiting import wait_until


class Hanging:
    """A loader that hangs until it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()

    def __call__(self, entity_ids: list[str]) -> Mapping[str, str]:
        self.calls.append(entity_ids)
        self.go.wait(120)
        return {entity_id: f"row {entity_id}" for entity_id in entity_ids}


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.go.set()


def test_one_call_for_all_and_none_for_what_is_missing() -> None:
    calls = []

    def load(entity_ids: list[str]) -> dict[str, int]:
        calls.append(entity_ids)
        return {"a": 1}

    assert Loader(load, timeout_s=5).begin(["a", "b", "a"]).rows() == {"a": 1, "b": None}
    assert calls == [["a", "b"]]


def test_it_is_told_once_when_the_rows_are_there(hanging: Hanging) -> None:
    told: list[str] = []
    loading = Loader(hanging, timeout_s=60).begin(["a"])
    loading.when_answered(lambda: told.append("before"))
    assert (loading.answered, told) == (False, [])
    hanging.go.set()
    wait_until(lambda: told == ["before"], what="the call")
    assert loading.answered
    loading.when_answered(lambda: told.append("after"))
    assert told == ["before", "after"]


def test_past_the_deadline_each_product_has_an_error(hanging: Hanging) -> None:
    began = time.monotonic()
    rows = Loader(hanging, timeout_s=0.05).begin(["a", "b"]).rows()
    assert 0.05 <= time.monotonic() - began < 60
    assert [type(row) for row in rows.values()] == [LoaderSlowError, LoaderSlowError]
    assert "has not returned within 0.05 s" in str(rows["a"])


def test_calls_that_never_return_keep_no_other_from_being_made_up_to_a_bound(hanging: Hanging) -> None:
    loader = Loader(hanging, timeout_s=0.01)
    numbers = map(str, itertools.count())

    def slow() -> str:
        number = next(numbers)
        assert isinstance(loader.begin([number]).rows()[number], LoaderSlowError)
        return number

    # One whose thread does not begin in time is not called for.
    wait_until(lambda: slow() and len(hanging.calls) == THREADS_MAX, what="as many calls as there may be threads")
    assert threading.active_count() < 2 * THREADS_MAX
    too_many = {slow() for _ in range(3)}
    hanging.go.set()
    # What nobody waits for any more is not called for.
    wait_until(lambda: isinstance(loader.begin(["last"]).rows()["last"], str), what="a call that is answered")
    assert not too_many & {one for call in hanging.calls for one in call}


def test_where_all_calls_hang_the_next_ones_fail_at_once_and_none_is_kept(hanging: Hanging) -> None:
    loader = Loader(hanging, timeout_s=60)
    for number in range(WAITING_MAX):
        loader.begin([str(number)])
    told: list[str] = []
    late = loader.begin(["late"])
    late.when_answered(lambda: told.append("late"))
    assert (late.answered, told) == (True, ["late"])
    assert isinstance(late.rows()["late"], LoaderSlowError)


def test_it_is_busy_while_a_call_goes_on_and_not_for_ever_with_one_that_hangs(hanging: Hanging) -> None:
    loader = Loader(hanging, timeout_s=0.05)
    loader.begin(["a"]).rows()
    wait_until(lambda: loader.busy, what="a call that is not waited for, and goes on")
    wait_until(lambda: not loader.busy, what="it counts as hanging")
    loader.begin(["b"])
    wait_until(lambda: loader.busy, what="another call")
    hanging.go.set()
    wait_until(lambda: not loader.busy, what="its end")


def test_one_that_is_bad_spoils_no_other() -> None:
    calls = []

    def load(entity_ids: list[str]) -> dict[str, int]:
        calls.append(len(entity_ids))
        if "bad" in entity_ids:
            raise ValueError("no such price")
        return dict.fromkeys(entity_ids, 1)

    many = [str(number) for number in range(100)]
    rows = Loader(load, timeout_s=5).begin([*many[:40], "bad", *many[40:]]).rows()
    bad = rows.pop("bad")
    assert isinstance(bad, LoaderFailedError)
    assert str(bad) == "the loader raised ValueError: no such price"
    assert isinstance(bad.__cause__, ValueError)
    assert rows == dict.fromkeys(many, 1)
    assert len(calls) < 20


@pytest.mark.parametrize("error", [ConnectionError("no database"), TimeoutError()])
def test_what_is_out_of_reach_is_asked_once(error: Exception) -> None:
    calls = []

    def load(entity_ids: list[str]) -> dict[str, int]:
        calls.append(entity_ids)
        raise error

    rows = Loader(load, timeout_s=5).begin(["a", "b"]).rows()
    assert [type(row) for row in rows.values()] == [LoaderUnavailableError, LoaderUnavailableError]
    assert type(error).__name__ in str(rows["a"])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("returned", "said"),
    [([1], r"returned \[1\]; wanted is a mapping"), ({42: 1}, "a row for 42, which is none of"), (None, "None")],
)
def test_what_is_no_mapping_of_these_products_is_refused(returned: object, said: str) -> None:
    row = Loader(lambda _: returned, timeout_s=5).begin(["42"]).rows()["42"]  # type: ignore[arg-type,return-value]
    assert isinstance(row, LoaderFailedError)
    with pytest.raises(LoaderFailedError, match=said):
        raise row


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_loader_that_wants_to_exit_ends_nothing(end: BaseException) -> None:
    def load(_: list[str]) -> dict[str, int]:
        raise end

    loader = Loader(load, timeout_s=5)
    for _ in range(THREADS_MAX + 1):
        assert isinstance(loader.begin(["a"]).rows()["a"], LoaderFailedError)
