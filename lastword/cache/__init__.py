"""What Redis holds of each key: the script that writes it, the polls, the seal of a data set.

Others open it by `opening` and use `cache`. What they exchange by way of Redis is in `failures`, `flow_note`, `held`,
`seal` and `started`. The script and its gate are the room's own.
"""
