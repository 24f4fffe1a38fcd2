"""How much a server takes on: the limits, the pages that count against them, and the order of work on a busy server."""
