"""This folder goes onto the PYTHONPATH of workers and bridges, for its ``sitecustomize``."""
