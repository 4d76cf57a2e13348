"""Records that cannot be applied, and where they go.

The bridge uses `dead_letters` and `undecodable`. The commands take the names of the headers from `dead_letters`.
"""
