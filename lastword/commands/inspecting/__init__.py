"""``lastword inspect``: what is known of one product, and why it is as it is."""
