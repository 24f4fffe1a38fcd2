"""Users in a file: names, groups and hashes of passwords, which a deployer writes and the server reads."""
