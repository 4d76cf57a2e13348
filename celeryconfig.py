"""Celery's settings: broker, queue and delivery. A ``celeryconfig.py`` in the working folder replaces this one."""

import os
import sys
from pathlib import Path


def _broker_url() -> str:
    path = os.environ.get("CELERY_BROKER_URL_FILE")  # a secret of Docker or Kubernetes
    if path is None:
        return os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")
    reason = "CELERY_BROKER_URL is given too; one is allowed" if "CELERY_BROKER_URL" in os.environ else ""
    try:
        url = Path(path).read_text(encoding="utf-8").removesuffix("\n")
        reason = reason or ("" if url else f"the file {path!r} is empty")
    except (OSError, ValueError) as error:
        url = ""
        reason = reason or f"the file {path!r} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8 text')}"
    if reason:
        sys.stderr.write(f"lastword: setting CELERY_BROKER_URL_FILE: {reason}\n")
        raise SystemExit(2)  # an exception would end in a traceback through all of Celery
    return url


broker_url = _broker_url()
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker outlives any outage of the broker
broker_heartbeat = 30

task_default_queue = "lastword"
imports = ("tasks.worker",)
task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True  # the cache itself says what became of an update

# The bridge sends again whatever the cache does not come to hold. Late acknowledgement would hand a task that kills its
# worker straight to the next one. docs/decisions/0001-end-to-end-acknowledgement.md
task_acks_late = False
task_reject_on_worker_lost = False

worker_send_task_events = True  # outcomes, for Flower and `celery events`
worker_prefetch_multiplier = 8

if broker_url.startswith(("redis", "rediss", "sentinel")):
    broker_transport_options = {
        # No list of unacknowledged messages: what a killed worker had fetched, the bridge sends again.
        "ack_emulation": False,
        "priority_steps": [0],
        "socket_connect_timeout": 5.0,  # seconds, as socket_timeout: every call of the bridge has a deadline
        "socket_timeout": 5.0,
        "socket_keepalive": True,
    }
else:
    # RabbitMQ 4.3 and later refuse transient queues that are not exclusive.
    control_queue_exclusive = True
    event_queue_exclusive = True
