"""Notices: updates without data, and the loader that fetches their rows.

The worker uses `notices` and `loader`. How a row is checked is the room's own.
"""
