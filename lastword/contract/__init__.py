"""One change, one update, its version, time and outcome, and what a task carries of it. Pure."""
