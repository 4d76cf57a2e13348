"""``lastword verify``: Redis compared with the topic, and repaired."""
