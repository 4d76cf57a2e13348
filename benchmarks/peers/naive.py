"""The worker of the naive version: kazoo's Lock recipe, GET, compare, SET; Celery as it comes."""

import json
import os
from typing import Any
from urllib.parse import quote

import redis
from celery import Celery, signals
from kazoo.client import KazooClient

import benchmarks.peers.finished  # noqa: F401 - watches the worker

app = Celery("naive", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)

root = os.environ["LASTWORD_ZOOKEEPER_ROOT"]
key_prefix = os.environ["LASTWORD_KEY_PREFIX"]
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
zookeeper = KazooClient(os.environ["ZOOKEEPER_HOSTS"])


@signals.worker_process_init.connect
def connect(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Open a session in each of the pool's processes."""
    zookeeper.start()


@app.task(name="refresh_product")
def refresh_product(change: dict[str, Any]) -> None:
    """Write one product unless Redis holds a newer state."""
    product = str(change["product_id"])
    with zookeeper.Lock(f"{root}/{quote(product, safe='')}"):
        held = cache.get(f"{key_prefix}{product}")
        if not isinstance(held, bytes) or version(json.loads(held)) < version(change):
            cache.set(f"{key_prefix}{product}", json.dumps(change))


def version(change: dict[str, Any]) -> tuple[int, int]:
    """Return what orders two changes of one product."""
    return change["updated_at"], change["sequence"]
