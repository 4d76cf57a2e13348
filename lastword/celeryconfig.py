"""Celery's settings: broker, queue and delivery; what the top level's ``celeryconfig.py`` holds.

A ``celeryconfig.py`` in the working folder comes first. One that begins with ``from lastword.celeryconfig import *``
has all of this, and changes what it wants.

CELERY_BROKER_TRANSPORT_OPTIONS, a JSON object, adds to the transport options: a broker behind Redis Sentinels
(``sentinel://h1:26379/1;sentinel://h2:26379/1``) needs ``{"master_name": "mymaster"}``, and where the Sentinels have a
password of their own ``{"sentinel_kwargs": {"password": "..."}}`` too.
"""

import json
import os
import sys
from typing import NoReturn
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES

from lastword.settings.environment import SettingsError, load, read_if_given
from lastword.settings.flow import FlowSettings
from lastword.settings.stock import is_stock


def _refuse(message: str) -> NoReturn:
    # An exception would end in a traceback through all of Celery.
    sys.stderr.writelines(f"lastword: {line}\n" for line in message.splitlines())
    sys.exit(2)


def _given(variable: str, default: str) -> str:
    text = read_if_given(variable)
    return os.environ.get(variable, default) if text is None else text


try:
    broker_url = _given("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")
    _options = _given("CELERY_BROKER_TRANSPORT_OPTIONS", "{}")
    _stock = is_stock()
    # Each flow has its own, so that its tasks reach no worker of another. The bridge sends to what stands here.
    task_default_queue = load(FlowSettings).queue
except SettingsError as _error:
    _refuse(str(_error))
try:
    for _url in broker_url.split(";"):
        urlsplit(_url).port  # noqa: B018 - reading it checks it; later on, Python's own error quotes a piece of the password
except ValueError:
    _refuse(
        "setting CELERY_BROKER_URL: unreadable host, port or database; in its user and password, before the @, "
        "write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D"
    )
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker outlives any outage of the broker
broker_heartbeat = 30

imports = ("tasks.worker",)
task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True  # the cache itself says what became of an update

# The bridge sends again whatever the cache does not come to hold. Late acknowledgement would hand a task that kills its
# worker straight to the next one. docs/decisions/0001-end-to-end-acknowledgement.md
task_acks_late = False
task_reject_on_worker_lost = False

worker_send_task_events = True  # outcomes, for Flower and `celery events`
if _stock:
    worker_consumer = "celery.worker.consumer:Consumer"
    worker_pool = "threads"
else:
    worker_consumer = "tasks.broker.consumer:Consumer"  # outlives whatever the broker answers
    worker_pool = "tasks.groups.pool:GroupPool"  # in place of prefork; `-P processes` and `-P threads` are Celery's own
    # By the scheme, so that `celery -b URL` has it as well. docs/decisions/0012-fetch-many.md
    TRANSPORT_ALIASES.update(
        redis="lastword.broker.transport:Transport",
        rediss="lastword.broker.transport:Transport",
        sentinel="lastword.broker.transport:SentinelTransport",
    )
worker_prefetch_multiplier = 8  # the group pool has a prefetch of its own
# After a lost connection Celery would fetch less for a while, and restore it from whichever thread begins a task: two
# threads then read one AMQP connection, and the worker hangs or never stays connected again. Nothing is unacknowledged
# while it is worked on here, so that there is nothing to be careful of.
worker_enable_prefetch_count_reduction = False

try:
    broker_transport_options = dict(json.loads(_options))
except (TypeError, ValueError):
    _refuse('setting CELERY_BROKER_TRANSPORT_OPTIONS: it should be a JSON object: {"name": "value"}')

if broker_url.startswith("rediss:"):
    # Without it kombu takes any certificate. Where the CA is not one of the system's: ?ssl_ca_certs=/path in the URL.
    broker_use_ssl = {"ssl_cert_reqs": "required"}

if broker_url.startswith(("redis", "rediss", "sentinel")):
    broker_transport_options = {
        # No list of unacknowledged messages: what a killed worker had fetched, the bridge sends again.
        "ack_emulation": False,
        "priority_steps": [0],
        "socket_connect_timeout": 5.0,  # seconds, as socket_timeout: every call of the bridge has a deadline
        "socket_timeout": 5.0,
        "socket_keepalive": True,
        "health_check_interval": 3,  # seconds: one that hangs is noticed in twice that time
        **broker_transport_options,
    }
else:
    # RabbitMQ 4.3 and later refuse transient queues that are not exclusive.
    control_queue_exclusive = True
    event_queue_exclusive = True
