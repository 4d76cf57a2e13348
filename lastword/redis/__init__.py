"""Clients of Redis: of one server, behind Sentinels, of a Cluster; what its refusals mean.

Others use `client` to open one, `pipeline` for many commands at once, and `errors`.
"""
