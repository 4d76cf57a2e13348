"""What is in flight: window, partitions, polls, retransmission, evidence. Pure: no I/O, no clock.

Others use `window` and `in_flight`, for their opening `partition_in_flight` and `retransmit`, and also `back_off`,
`evidence` and `rewind`. The rest is the room's own.
"""
