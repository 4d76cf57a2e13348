"""The environment and the settings file, read and checked.

All of it is for everybody: `bridge` and `shared` have the settings, of which `flow`, `group_protocol`, `stock` and
`zookeeper` are parts. `environment` reads them, `function` imports what one names.
"""
