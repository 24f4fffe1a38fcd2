"""What an author sees of a server in development: the bar "Look as", and pages that reload when a file changes."""
