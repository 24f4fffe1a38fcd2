"""Pages that are open now: the messages that they send to each other, and who is looking."""
