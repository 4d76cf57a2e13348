"""Celery's consumer, which outlives every state of its broker: a refusal is a lost connection, made anew each second.

Celery itself ends the worker for what it takes for a mistake of ours (READONLY, NOPERM, ACCESS_REFUSED), waits up to
30 s between two tries, and logs a traceback. Of its private parts ``loops._quick_drain`` is replaced; what must hold is
in tests/faults/broker/test_broker_refuses.py. Source: docs/decisions/0022-a-refusal-is-a-lost-connection.md
"""

import contextlib
import errno
import logging
import time
from typing import Any, ClassVar, Final

from celery.worker import loops, pidbox
from celery.worker.consumer import consumer, control
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

from lastword.broker.outage import Reasons
from lastword.broker.reason import reason
from tasks.broker.events import TWICE

logger = logging.getLogger(__name__)

RETRY_S: Final = 1.0

STEADY_S: Final = 3.0
"""For how long a new connection must hold: what Redis refuses to fetch it says after a second."""

PER_CONNECTION: Final = ("celery.worker.consumer.connection", "celery.worker.consumer.mingle")
"""The loggers that tell of every connection: as long as none is of use they would tell of one each second."""

_CeleryConsumer: Any = consumer.Consumer  # whose types leave out what is used here
_CeleryControl: Any = control.Control
_CeleryPidbox: Any = pidbox.Pidbox


class Outage:
    """What the log says of a broker that does not serve: each reason once, and when it is over."""

    def __init__(self) -> None:
        self._reasons = Reasons()

    @property
    def failures(self) -> int:
        """How often it has failed so far."""
        return self._reasons.failures

    def failed(self, error: BaseException) -> None:
        """Note a failure, and say why unless that is said."""
        why = reason(error)
        logger.debug("%s", why, exc_info=error)  # to kombu some mistakes of ours look like that, too
        if self._reasons.add(why, time.monotonic()):
            logger.warning("Connection to broker lost: %s; it is tried again each second", why)

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """Whether a line is of interest, for a logger that tells of every connection."""
        return not self.failures or record.levelno > logging.INFO

    def over(self) -> None:
        """Say that the broker serves again, if it did not."""
        away_s = self._reasons.end()
        if away_s is not None:
            logger.warning("the broker serves again, after %.0f s", away_s)


class Pidbox(_CeleryPidbox):  # type: ignore[misc]
    """The mailbox for control commands, which does without an answer where the broker does not take it."""

    def __init__(self, c: Any) -> None:  # noqa: ANN401 - the consumer
        super().__init__(c)
        self.node.reply = self._reply

    def _reply(self, data: Any, exchange: str, routing_key: str, ticket: str, **_: Any) -> None:  # noqa: ANN401 - kombu's
        mailbox = self.node.mailbox
        try:
            mailbox._publish_reply(  # noqa: SLF001 - as the node's own does, which would try for ever
                data,
                exchange,
                routing_key,
                ticket,
                channel=self.node.channel,
                serializer=mailbox.serializer,
                retry_policy=TWICE,
            )
        except self.c.connection_errors as error:
            logger.warning("a control command stays without an answer: %s", reason(error))


class Control(_CeleryControl):  # type: ignore[misc]
    """Celery's step that listens to control commands, with our mailbox."""

    def __init__(self, c: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(c, **kwargs)
        if not self.is_green:
            self.box = Pidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown


class Consumer(_CeleryConsumer):  # type: ignore[misc]
    """Fetches tasks for as long as the worker is to run."""

    class Blueprint(_CeleryConsumer.Blueprint):  # type: ignore[misc]
        """Celery's steps, with our Control."""

        default_steps: ClassVar = [
            "tasks.broker.consumer:Control" if step == "celery.worker.consumer.control:Control" else step
            for step in _CeleryConsumer.Blueprint.default_steps
        ]

    connection_errors: tuple[type[Exception], ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        self._outage = Outage()
        for name in PER_CONNECTION:
            logging.getLogger(name).addFilter(self._outage.lets_pass)
        super().__init__(*args, **kwargs)
        # The last is what kombu makes of the others when it has tried twice.
        self.connection_errors = (*self.connection_errors, *self.channel_errors, OperationalError)

    def connect(self) -> Any:  # noqa: ANN401 - kombu's connection
        """Connect, after a pause if the last connection was of no use."""
        if self._outage.failures > 1:
            time.sleep(RETRY_S)
            maybe_shutdown()
        return super().connect()

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401 - kombu's connection
        """Connect, for as long as it takes."""
        conn.ensure_connection(
            lambda error, _: self._outage.failed(error),
            self.app.conf.broker_connection_max_retries,
            interval_start=RETRY_S,
            interval_step=0,
            interval_max=RETRY_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Say so."""
        self._outage.failed(exc)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Say so, and drop the connection."""
        self._outage.failed(exc)
        with contextlib.suppress(Exception):
            self.connection.collect()

    def on_ready(self) -> None:
        """Take the outage for over if the connection holds for a while."""
        super().on_ready()
        if self.hub:
            self.hub.call_later(STEADY_S, self._outage.over)
        else:
            self._outage.over()


def _quick_drain(connection: Any, timeout: float = 0.1) -> None:  # noqa: ANN401 - kombu's connection
    """Take the first event of a new AMQP connection. Celery's own passes over a queue that is deleted meanwhile."""
    try:
        connection.drain_events(timeout=timeout)
    except OSError as error:  # a timeout is one, without a number
        if error.errno not in {None, errno.EAGAIN}:
            raise


_loops: Any = loops
_loops._quick_drain = _quick_drain  # noqa: SLF001 - see above
