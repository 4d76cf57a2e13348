"""Notices: updates without data, and the loader that fetches their rows."""
