"""The worker's side of the broker: consumer, events, remote control, Flower.

The worker uses `flow_command`, `flower`, `remote_control`, `strays` and `worker_name`. `lastword inspect` uses
`under_way`. Celery is told the names of `consumer` and `events`.
"""
