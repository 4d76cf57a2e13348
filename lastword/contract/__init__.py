"""One change, one update, its version, time and outcome, and what a task carries of it. Pure.

All of it is for everybody: the rooms speak to each other in these terms. Begin with `change` and `record`.
"""
