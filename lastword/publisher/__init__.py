"""Publishing changes: ``Publisher``.

Services have it from `lastword` itself. Others use `publisher`, and `publish_errors`.
"""
