"""``lastword verify``: Redis compared with the topic, and repaired.

The command is in `verify`. `lastword replay` uses `repair`.
"""
