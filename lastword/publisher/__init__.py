"""Publishing changes: ``Publisher``.

Services have it from `lastword` itself. Others use `publisher`, and `delivery` for its errors.
"""
