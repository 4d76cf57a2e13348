"""Celery's settings: broker, queue and delivery. A ``celeryconfig.py`` in the working folder replaces this one.

CELERY_BROKER_TRANSPORT_OPTIONS, a JSON object, adds to the transport options: a broker behind Redis Sentinels
(``sentinel://h1:26379/1;sentinel://h2:26379/1``) needs ``{"master_name": "mymaster"}``, and where the Sentinels have a
password of their own ``{"sentinel_kwargs": {"password": "..."}}`` too.
"""

import json
import os
import sys

broker_url = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")
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

try:
    broker_transport_options = dict(json.loads(os.environ.get("CELERY_BROKER_TRANSPORT_OPTIONS", "{}")))
except (TypeError, ValueError):
    # Celery would show whatever is raised here with its traceback.
    sys.stderr.write(
        'lastword: setting CELERY_BROKER_TRANSPORT_OPTIONS: it should be a JSON object: {"name": "value"}\n'
    )
    sys.exit(2)

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
        **broker_transport_options,
    }
else:
    # RabbitMQ 4.3 and later refuse transient queues that are not exclusive.
    control_queue_exclusive = True
    event_queue_exclusive = True
