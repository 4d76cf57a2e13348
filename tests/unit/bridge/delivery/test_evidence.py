"""What counts as evidence against an update; tests/property/test_evidence.py tries it in any order."""

import pytest

from bridge.delivery.evidence import Hopeless, hopeless, is_marked, loaded, marked_sends
from bridge.delivery.in_flight import InFlight
from lastword.cache.cache import Poll, TaskFailure
from lastword.cache.failures import LOADED
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.version import Version
from tests.windows import change, offer, opened, send_all

WORKING_S = 30.0


@pytest.fixture
def entry() -> InFlight:
    window = opened()
    offer(window, 0, 7, change("a"))
    (entry,) = send_all(window)
    entry.nonces = ["n0", "n1", "n2", "n3", "n4", "n5"]
    return entry


def look(*nonces: str, who: str = "w", missed: bool = False, failure: TaskFailure | None = None) -> Poll:
    return Poll(
        versions={},
        failures={"t": failure} if failure else {},
        started={"t": {nonce: f"{who} {nonce}" for nonce in nonces}} if nonces else {},
        missed=CacheUnavailableError("a part is down") if missed else None,
    )


def found(entry: InFlight, seen: Poll, now: float) -> list[Hopeless]:
    return list(hopeless({"t": entry}, seen, now, WORKING_S))


def test_the_second_retransmission_is_the_first_marked_send() -> None:
    assert [is_marked(sends) for sends in range(5)] == [False, False, True, True, True]


def test_only_marked_sends_are_looked_for_and_of_many_the_newest(entry: InFlight) -> None:
    assert marked_sends(entry) == ["n2", "n3", "n4", "n5"]
    entry.nonces = ["n0", "n1"]
    assert not marked_sends(entry)
    entry.nonces = [str(number) for number in range(50)]
    newest = [str(number) for number in range(40, 50)]
    assert marked_sends(entry) == newest
    found(entry, look("30", "45"), 0.0)
    assert sorted(marked_sends(entry)) == sorted({"30", *newest}), "what was seen is not lost from sight"


def test_three_marks_that_stay_are_evidence(entry: InFlight) -> None:
    assert not found(entry, look("n2"), 0.0)
    assert not found(entry, look("n2", "n3", "n4"), 1.0)
    assert not found(entry, look("n2", "n3", "n4"), 30.9)
    [verdict] = found(entry, look("n2", "n3", "n4"), 31.0)
    assert (verdict.entry, verdict.error) == (entry, "WorkerLost")
    assert verdict.reason.startswith("3 workers began this update, alone, and none of them came to an end with it")
    assert "w n2; w n3; w n4" in verdict.reason


def test_two_marks_are_not_however_old(entry: InFlight) -> None:
    assert not found(entry, look("n2", "n3"), 0.0)
    assert not found(entry, look("n2", "n3"), 1e6)


def test_a_mark_that_was_taken_away_counts_no_more(entry: InFlight) -> None:
    found(entry, look("n2", "n3", "n4"), 0.0)
    assert not found(entry, look("n2", "n3"), 40.0)
    assert not found(entry, look("n2", "n3", "n4"), 41.0), "it was set anew, and its worker may be at work"
    assert found(entry, look("n2", "n3", "n4"), 71.0)


def test_a_mark_of_another_start_of_the_same_send_counts_from_now(entry: InFlight) -> None:
    found(entry, look("n2", "n3", "n4"), 0.0)
    assert not found(entry, look("n2", "n3", "n4", who="a retry by another"), 40.0)
    assert found(entry, look("n2", "n3", "n4", who="a retry by another"), 70.0)


def test_a_look_that_missed_a_part_is_believed_in_nothing(entry: InFlight) -> None:
    found(entry, look("n2", "n3", "n4"), 0.0)
    failure = TaskFailure("t", Version(1, 0), "n0", "ValueError", "why")
    assert not found(entry, look("n2", "n3", "n4", missed=True, failure=failure), 40.0)
    assert not found(entry, look(missed=True), 41.0), "nor does it tell that the marks are gone"
    assert found(entry, look("n2", "n3", "n4"), 42.0)


def test_a_recorded_failure_is_evidence_for_its_version_and_a_send_of_ours(entry: InFlight) -> None:
    def of(version: Version, nonce: str) -> list[Hopeless]:
        return found(entry, look(failure=TaskFailure("t", version, nonce, "ValueError", "why")), 0.0)

    assert of(Version(1, 0), "n1") == [Hopeless(entry, "ValueError", "why")]
    assert not of(Version(1, 0), "other")
    assert not of(Version(1, 1), "n1")


def test_what_was_loaded_is_no_failure_and_is_believed_as_one(entry: InFlight) -> None:
    assert entry.update is not None
    told = TaskFailure("t", entry.update.version, "n1", LOADED, "")
    assert list(loaded({"t": entry}, look(failure=told))) == [entry]
    assert not found(entry, look(failure=told), 0.0)
    for other in (
        TaskFailure("t", Version(9, 9), "n1", LOADED, ""),
        TaskFailure("t", entry.update.version, "another", LOADED, ""),
        TaskFailure("t", entry.update.version, "n1", "UnusableKeyError", ""),
    ):
        assert not list(loaded({"t": entry}, look(failure=other)))
