"""The soak: faults at random from a seed, under load, for as long as one likes; then the checker's report."""
