"""What Redis holds of each key: the script that writes it, the polls, the seal of a data set."""
