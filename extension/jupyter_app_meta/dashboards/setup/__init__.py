"""What happens before a server serves: options are checked, managers are made, a folder and a port are taken."""
