"""Clients of Redis: of one server, behind Sentinels, of a Cluster; what its refusals mean."""
