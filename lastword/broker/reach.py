"""Whether Celery's broker can be reached, and takes this flow's queue."""

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from lastword.broker.reason import reason
from lastword.process.startup import wait_for
from lastword.settings.shared import SettingsError


def broker_address(app: Celery) -> str:
    """Return the broker's address without its password; SettingsError when the URL cannot be used."""
    try:
        connection = app.connection_for_write()
        connection.get_transport_cls()
    except (KeyError, ImportError, AttributeError) as error:
        scheme = str(app.conf.broker_url).partition(":")[0]
        raise SettingsError(
            f"setting CELERY_BROKER_URL: given the scheme {scheme!r}; redis, rediss, sentinel and amqp are allowed"
        ) from error
    except (ValueError, TypeError):  # the latter: a ?password=
        raise _unreadable_broker_url() from None
    if connection.transport_cls == "sentinel" and not app.conf.broker_transport_options.get("master_name"):
        raise SettingsError(
            "setting CELERY_BROKER_URL: Sentinels are given, but not the name of their service; wanted is "
            'CELERY_BROKER_TRANSPORT_OPTIONS=\'{"master_name": "mymaster"}\''
        )
    return str(connection.as_uri())


def _unreadable_broker_url() -> SettingsError:
    # Python's and kombu's own messages quote what they take for the port or the database: a piece of the password.
    return SettingsError(
        "setting CELERY_BROKER_URL: unreadable host, port or database; in its user and password, before the @, "
        "write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D"
    )


def _is_vague(said: str) -> bool:
    """Whether it is what one hears from a server of another kind."""
    return "closed" in said or said == "timed out"


def wait_for_broker(app: Celery, deadline_s: float) -> None:
    """Wait until the Celery broker takes our queue; UnreachableError as in ``wait_for``, SettingsError for its URL."""
    wait_for("the Celery broker", broker_address(app), lambda: reach_broker(app), deadline_s=deadline_s)


def reach_broker(app: Celery) -> None:
    """Return when the Celery broker takes our queue; ConnectionError with a reason when not, SettingsError for its URL.

    A replica, a full server, or one that does not allow us enough, answers and is of no use.
    """
    connection: Any  # kombu's stubs lack half of it
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            # A worker whose task_queues lack it reads it all the same, since it is asked for here.
            app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()
        # What kombu does not try again comes as RabbitMQ's own: a wrong password, a virtual host that is not there.
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            said = reason(error)
            raise ConnectionError(
                f"{said}; is it a broker's port, with TLS or without as the URL has it?" if _is_vague(said) else said
            ) from error
        except ValueError:
            raise _unreadable_broker_url() from None
