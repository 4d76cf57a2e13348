"""What every client of Kafka needs: properties, topics, groups, reading once, refusals.

Others use `client`, `clock_watch`, `group`, `headers`, `identity`, `murmur2`, `reading`, `refusal`, `topic_ids` and
`topics`.
"""
