"""What a newcomer starts: the demo, the tutorial, the shop, the wheel, the compose file."""
