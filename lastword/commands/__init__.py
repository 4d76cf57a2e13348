"""The command line: run, publish, inspect, verify, replay, dead-letters. The only room that sees bridge and tasks."""
