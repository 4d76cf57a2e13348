"""What happens to a topic: made anew, ended, published again, its source's positions gone back."""
