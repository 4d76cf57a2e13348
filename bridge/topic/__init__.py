"""What happens to a topic: made anew, ended, published again, its source's positions gone back.

The bridge uses all of it: `origins`, `positions`, `repeated`, `sequel`, `settling`, `watch`.
"""
