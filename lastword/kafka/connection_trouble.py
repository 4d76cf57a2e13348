"""Why Kafka cannot be reached: the most telling of all that librdkafka says, and what to look at."""

import logging
import re
import socket
import ssl
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError

from lastword.kafka.refusal import Properties, is_refusal

PROBE_TIMEOUT_S: Final = 2.0
BROKER: Final = re.compile(r"ssl://\[?(?P<host>[^/\]]+)\]?:(?P<port>[0-9]+)/")
LOG_HEAD: Final = re.compile(r"^\w+ \[[^]]*\] \[[^]]*\]: ")


class Ear(logging.Handler):
    """Hears what librdkafka would write to standard error again and again, and its errors; tells the reason once."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[KafkaError] = []
        self._log: list[str] = []
        self.logger = logging.Logger(__name__)  # noqa: LOG001 - this ear's alone
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first lines."""
        text = record.getMessage()
        if text.startswith("FAIL ") and len(self._log) < 10:  # noqa: PLR2004 - the first tells it, the rest repeats
            self._log.append(LOG_HEAD.sub("", text))

    @property
    def refused(self) -> KafkaError | None:
        """The error that makes waiting useless, if one was heard."""
        return next((error for error in self.errors if is_refusal(error)), None)

    @property
    def all_brokers_down(self) -> bool:
        """Whether every address was tried in vain."""
        return any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in self.errors)  # noqa: SLF001

    def reason(self, otherwise: KafkaError, properties: Properties) -> str:
        """Return the most telling thing heard, with a hint."""
        errors = [e for e in self.errors if e.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001
        # A host with two addresses may refuse the one and have trouble with TLS at the other.
        tls = [error for error in errors if error.code() == KafkaError._SSL]  # noqa: SLF001
        said = [*(error.str() for error in (*tls, *errors)), *self._log, otherwise.str()][0]
        return said.partition(": increase receive.message.max.bytes")[0] + _hint(said, properties)


def _hint(said: str, properties: Properties) -> str:
    protocol = f"LASTWORD_KAFKA_SECURITY_PROTOCOL ({properties.get('security.protocol', 'plaintext')})"
    if "certificate verify failed" in said:
        return _certificate_hint(said, properties)
    if "Disconnected" in said:
        return f"; is {protocol} what this port speaks?"
    if "Invalid response size" in said:
        return "; what answers there is not Kafka"
    if said == KafkaError(KafkaError._TIMED_OUT).str():  # noqa: SLF001 - the library's own name for the code
        return "; no connection came about, it hangs, or what answers there is not Kafka"
    return ""


def _certificate_hint(said: str, properties: Properties) -> str:
    """Look at the certificate again: librdkafka says the same for an unknown authority and for another name."""
    broker = BROKER.search(said)
    complaint = broker and _complaint(broker["host"], int(broker["port"]), properties)
    if not complaint:
        return ""
    if "mismatch" in complaint:
        return f"; {complaint} Name the brokers as their certificates do, in KAFKA_BOOTSTRAP_SERVERS and in Kafka"
    return f"; {complaint}: is its authority in LASTWORD_KAFKA_SSL_CA_LOCATION?"


def _complaint(host: str, port: int, properties: Properties) -> str:
    """Return what Python's own TLS has to say of a broker's certificate; empty: nothing."""
    location = Path(str(properties.get("ssl.ca.location", "")) or ".")
    pem = properties.get("ssl.ca.pem")
    try:
        context = ssl.create_default_context(
            cafile=str(location) if location.is_file() else None,
            capath=str(location) if "ssl.ca.location" in properties and location.is_dir() else None,
            cadata=None if pem is None else str(pem),
        )
        context.check_hostname = properties.get("ssl.endpoint.identification.algorithm") != "none"
        with (
            socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:
        return ""
