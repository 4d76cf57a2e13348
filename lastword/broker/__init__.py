"""What bridge, workers and commands need of Celery's broker: the transport, who consumes, whether it answers.

They use `config`, `consumers`, `outage`, `reach`, `reason` and `transport`.
"""
