"""What arrives, before any route sees it: connections, the address that a visitor sees, and what a request is for.

No visitor is known here yet. A request that cannot be read, or for which there is no room, gets no further.
"""
