"""What happens before a server serves: options are checked, managers are made, and a folder and a port are taken."""
