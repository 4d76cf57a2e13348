"""A Kafka that answers as it is told: librdkafka's own mock cluster, of which the Python client shows nothing."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import cimpl

OFFSET_FETCH: Final = 9
"""A request's number in Kafka's protocol: what a group has committed."""


class MockKafka:
    """A cluster of one node; it lives as long as its block.

    Source: https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
    """

    def __init__(self, library: ctypes.CDLL, cluster: ctypes.c_void_p) -> None:
        self._library = library
        self._cluster = cluster

    @property
    def address(self) -> str:
        """HOST:PORT."""
        told = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        assert isinstance(told, bytes)
        return told.decode()

    def create_topic(self, topic: str) -> None:
        """Make a topic of one partition."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), 1, 1) == 0

    def answer(self, request: int, *errors: int) -> None:
        """Answer the next requests of this kind with these errors, one after the other."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), codes
        )


@contextmanager
def mock_kafka() -> Iterator[MockKafka]:
    library = ctypes.CDLL(cimpl.__file__)
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    why = ctypes.create_string_buffer(512)
    producer = 0
    quiet = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(quiet, b"log_level", b"0", why, ctypes.c_size_t(512))
    owner = library.rd_kafka_new(producer, quiet, why, ctypes.c_size_t(512))
    assert owner, why.value
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(ctypes.c_void_p(owner), 1))
    try:
        yield MockKafka(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(ctypes.c_void_p(owner))
