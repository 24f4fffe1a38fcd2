"""Kernels that run behind a Kernel Gateway. To the rest of the server they look like kernels of its own.

The gateway starts and ends the kernels (``server.gateway``). For each of them a ``relay`` offers the sockets that a
local kernel would have, and passes messages on over one WebSocket. So the same code judges, stamps, filters and counts
the messages of both kinds of kernels. ``orphans`` remembers kernels whose server was killed.
"""
