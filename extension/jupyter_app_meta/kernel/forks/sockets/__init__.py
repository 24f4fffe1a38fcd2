"""How a server and a forked process talk, without ZeroMQ: over Unix sockets that both were given at their start."""
