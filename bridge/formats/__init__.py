"""What records may be written in: for each format a small decoder, which makes of a record the changes it tells of."""
