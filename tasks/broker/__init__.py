"""The worker's side of the broker: consumer, events, remote control, Flower."""
