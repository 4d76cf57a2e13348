"""The flow as a person sees it: sample changes of a shop, and a run of everything."""
