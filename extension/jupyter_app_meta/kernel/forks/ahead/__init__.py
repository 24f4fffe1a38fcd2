"""What a process does before a visitor is there, so that the visitor waits less."""
