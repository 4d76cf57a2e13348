"""The recorded history of a run: what every party did, each by its own account, and a checker over it."""
