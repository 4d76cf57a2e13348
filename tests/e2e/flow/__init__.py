"""The whole flow: a topic, a bridge, workers, Redis; on servers of each kind."""
