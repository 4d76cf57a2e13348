"""What the worker's log says of a broker that does not serve: each reason once, and when it is over."""

import logging

import pytest
from amqp.exceptions import AccessRefused, ConsumerCancelled
from kombu.exceptions import OperationalError
from redis import exceptions

from lastword.broker.outage import REASONS_MAX
from lastword.broker.transport import SentinelTransport, Transport
from tasks.broker.consumer import Outage

REDIS_ERRORS = [
    error
    for error in vars(exceptions).values()
    if isinstance(error, type) and issubclass(error, exceptions.RedisError) and error.__module__ == exceptions.__name__
]


@pytest.mark.parametrize("transport", [Transport, SentinelTransport])
def test_whatever_redis_answers_is_a_lost_connection(transport: type[Transport]) -> None:
    assert len(REDIS_ERRORS) > 20
    assert all(issubclass(error, transport.connection_errors) for error in REDIS_ERRORS)


def test_each_reason_is_said_once_and_the_end_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tasks.broker.consumer")
    outage = Outage()
    for _ in range(100):
        outage.failed(exceptions.ReadOnlyError("You can't write against a read only replica."))
        outage.failed(AccessRefused("no access to the queue"))
    outage.over()
    outage.over()
    refused, forbidden, over = [record.getMessage() for record in caplog.records]
    assert "lost: ReadOnlyError: You can't write" in refused
    assert "no access to the queue" in forbidden
    assert "serves again, after 0 s" in over
    assert not any(record.exc_info for record in caplog.records)


def test_a_second_outage_is_said_like_the_first(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    for _ in range(2):
        outage.failed(ConsumerCancelled("1"))
        outage.over()
    assert [record.getMessage()[:12] for record in caplog.records] == ["Connection t", "the broker s"] * 2


def test_reasons_that_are_never_the_same_are_not_said_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    for number in range(100):
        outage.failed(OSError(f"port {number}"))
    assert len(caplog.records) == REASONS_MAX


def test_what_kombu_has_wrapped_is_told_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    wrapped = OperationalError("quota")
    wrapped.__cause__ = exceptions.OutOfMemoryError("quota")
    Outage().failed(wrapped)
    assert "OutOfMemoryError: quota" in caplog.text


def test_while_it_lasts_nothing_is_said_of_each_connection() -> None:
    outage = Outage()
    told = [
        logging.LogRecord("celery", level, "", 0, "Connected", None, None) for level in (logging.INFO, logging.ERROR)
    ]
    assert [outage.lets_pass(record) for record in told] == [True, True]
    outage.failed(exceptions.ReadOnlyError("a replica"))
    assert [outage.lets_pass(record) for record in told] == [False, True]
    outage.over()
    assert [outage.lets_pass(record) for record in told] == [True, True]
