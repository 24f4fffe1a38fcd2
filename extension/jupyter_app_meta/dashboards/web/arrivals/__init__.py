"""What happens before any route sees a request: connections, the address that a visitor sees, and a request's purpose.

No visitor is known here yet. A request that cannot be read, or for which there is no room, does not get further.
"""
