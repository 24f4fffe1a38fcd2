"""What operators ask a server: whether it lives, whether it is ready, and what it has counted."""
