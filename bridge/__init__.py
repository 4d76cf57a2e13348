"""From Kafka to Celery and back: an offset is committed only when the cache holds the update."""

from tasks import interrupt

interrupt.stand_behind_import(__name__, script="lastword")
