"""``lastword inspect``: what is known of one entity, and why it is as it is."""
