"""From Kafka to Celery and back: an offset is committed only when the cache holds the update."""

from lastword.process import interrupt

interrupt.stand_behind_import(__name__)
