"""What is in flight: window, partitions, polls, retransmission, evidence. Pure: no I/O, no clock."""
