"""The command line, as an operator uses it on a flow that runs."""
