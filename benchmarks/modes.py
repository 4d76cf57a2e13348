"""The worker's pools, concurrencies, prefetches, acknowledgement modes and brokers that are compared."""

import celeryconfig
from benchmarks.contenders import Mode

BASE = "default"


def modes(rabbitmq_url: str | None) -> list[Mode]:
    """All modes, the one that ``celeryconfig.py`` has first; those on RabbitMQ where there is one."""
    late = {"task_acks_late": True, "task_reject_on_worker_lost": True}
    pair = _pool("processes", 2)
    found = [
        Mode(BASE),
        *(Mode(f"prefork {count}", _pool("processes", count)) for count in (2, 4, 8, 16)),
        *(Mode(f"threads {count}", _pool("threads", count)) for count in (4, 8, 16, 32)),
        Mode("solo", ("--pool", "solo")),
        Mode("threads 8, LASTWORD_STOCK", _pool("threads", 8), stock=True),
        *(Mode(f"prefork 2, prefetch {n}", pair, {"worker_prefetch_multiplier": n}) for n in (1, 32, 128)),
        Mode("default, acks_late", settings=late),
    ]
    if hasattr(celeryconfig, "broker_transport_options"):  # a Redis
        emulated = {"broker_transport_options": {**celeryconfig.broker_transport_options, "ack_emulation": True}}
        found += [
            Mode("default, ack_emulation", settings=emulated),
            Mode("default, ack_emulation, acks_late", settings=emulated | late),
        ]
    if rabbitmq_url is not None:
        found += [
            Mode("default, RabbitMQ", broker_url=rabbitmq_url),
            Mode("default, RabbitMQ, acks_late", settings=late, broker_url=rabbitmq_url),
        ]
    return found


def _pool(name: str, concurrency: int) -> tuple[str, ...]:
    return ("--pool", name, "--concurrency", str(concurrency))
