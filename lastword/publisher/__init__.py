"""Publishing changes: ``Publisher``."""
