"""The environment and the settings file, read and checked.

All of it is for everybody: `bridge` and `shared` have the settings, `flow`, `group_protocol` and `stock` parts of them.
`environment` reads them, `function` imports what one names.
"""
