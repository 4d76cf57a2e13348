"""``lastword replay`` and ``dead-letters``: records brought back, and those that could not be applied.

The commands are in `replay` and `dead_letters`. Other commands read a dead letter by `letter`, and use `letter_lines`.
"""
