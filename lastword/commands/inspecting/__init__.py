"""``lastword inspect``: what is known of one entity, and why it is as it is.

The command is in `inspect`. Others use nothing of this room.
"""
