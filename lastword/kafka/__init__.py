"""What every client of Kafka needs: properties, topics, groups, reading once, refusals."""
