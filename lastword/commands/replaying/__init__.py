"""``lastword replay`` and ``dead-letters``: records brought back, and those that could not be applied."""
