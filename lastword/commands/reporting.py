"""How the commands end: an exit code, and a line for a person instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from lastword.contract.errors import CacheUnavailableError
from lastword.kafka.refusal import KafkaRefusedError
from lastword.kafka.topics import MissingTopicError
from lastword.process.startup import EXIT_INTERRUPTED, EXIT_SETTINGS, EXIT_UNREACHABLE, UnreachableError, leave
from lastword.publisher.publish_errors import PublishError
from lastword.settings.bridge import complaint_about_property
from lastword.settings.shared import SettingsError

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 4

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def reported() -> Iterator[None]:
    """End the process with a line for a person, and no traceback, for everything a person or a server can cause."""
    try:
        yield
    except SettingsError as error:
        leave(str(error), EXIT_SETTINGS)
    except KafkaException as error:
        refusal = error.args[0]
        if refusal.code() != KafkaError._INVALID_ARG:  # noqa: SLF001 - the library's own name for the code
            raise
        leave(complaint_about_property(refusal.str()), EXIT_SETTINGS)
    except (CacheUnavailableError, UnreachableError, MissingTopicError) as error:
        leave(str(error), EXIT_UNREACHABLE)
    except KafkaRefusedError as error:
        leave(str(error), EXIT_REFUSED)
    except PublishError as error:
        leave(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        leave("interrupted", EXIT_INTERRUPTED)
