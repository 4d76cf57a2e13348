"""Records that cannot be applied, and where they go."""
