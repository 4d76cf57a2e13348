"""What is asked of Kafka about a group is asked again while nobody answers for the group, and not for ever."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from examples.names import remove_group
from lastword.kafka import coordinator

AWAY = [
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "ASK_AGAIN_S", 0.001)


class Question:
    """Answered with these errors, one after the other (the last one again and again), or at last with "found"."""

    def __init__(self, *codes: int, for_ever: bool = False) -> None:
        self.asked = 0
        self._codes = codes
        self._for_ever = for_ever

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= len(self._codes) or self._for_ever:
            raise KafkaException(KafkaError(self._codes[min(self.asked, len(self._codes)) - 1]))
        return "found"


def test_it_is_asked_again_while_the_coordinator_is_away() -> None:
    question = Question(*AWAY)
    assert coordinator.ask(question) == "found"
    assert question.asked == len(AWAY) + 1


@pytest.mark.parametrize("code", AWAY)
def test_it_is_not_asked_for_ever(code: int) -> None:
    question = Question(code, for_ever=True)
    with pytest.raises(KafkaException) as raised:
        coordinator.ask(question, away_max_s=0.05)
    assert coordinator.is_away(raised.value)
    assert question.asked > 1


@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._TIMED_OUT, KafkaError._TRANSPORT])
def test_any_other_error_is_told_at_once(code: int) -> None:
    question = Question(code)
    with pytest.raises(KafkaException):
        coordinator.ask(question)
    assert question.asked == 1


class Admin:
    """What of an AdminClient removes groups; it answers with these errors, and then with none."""

    def __init__(self, *codes: int) -> None:
        self.asked = 0
        self._errors: Iterator[int] = iter(codes)

    def delete_consumer_groups(self, groups: list[str]) -> dict[str, Future[None]]:
        self.asked += 1
        answer: Future[None] = Future()
        code = next(self._errors, None)
        if code is None:
            answer.set_result(None)
        else:
            answer.set_exception(KafkaException(KafkaError(code)))
        return dict.fromkeys(groups, answer)


def removed(admin: Any, **settings: float) -> int:  # noqa: ANN401 - an AdminClient is of no class of ours
    remove_group(admin, "bench", **settings)
    return int(admin.asked)


def test_a_group_is_removed_as_soon_as_somebody_answers_for_it() -> None:
    assert removed(Admin(*AWAY)) == len(AWAY) + 1


@pytest.mark.parametrize("code", [KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NON_EMPTY_GROUP])
def test_a_group_that_is_gone_or_in_use_is_left_to_kafka(code: int) -> None:
    assert removed(Admin(code)) == 1


def test_a_group_for_which_nobody_answers_is_left_to_kafka() -> None:
    assert removed(Admin(*[KafkaError.NOT_COORDINATOR] * 100_000), away_max_s=0.05) > 1


def test_a_group_of_which_nothing_is_heard_is_left_to_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.names.CALL_TIMEOUT_S", 0.05)
    admin = Admin()
    monkeypatch.setattr(admin, "delete_consumer_groups", lambda groups: dict.fromkeys(groups, Future[None]()))
    assert removed(admin) == 0


def test_a_group_that_must_not_be_removed_is_told() -> None:
    with pytest.raises(KafkaException):
        remove_group(Admin(KafkaError.GROUP_AUTHORIZATION_FAILED), "bench")  # type: ignore[arg-type]
