"""The environment and the settings file, read and checked."""
