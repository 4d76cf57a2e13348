"""The dead letters of a flow, past the code under test."""

from tests.flow import Flow
from tests.history.kafka_log import ends_of


def count_letters(flow: Flow) -> int:
    return sum(ends_of(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], f"{flow.topic}-dlt").values())
