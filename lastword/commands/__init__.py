"""The command line: run, worker, publish, inspect, verify, replay, dead-letters. It alone sees bridge and tasks.

It begins in `cli`. The rooms below use `opening`, `parameters`, `progress`, `reporting` and `table`.
"""
