"""How much a server takes on: the limits, the pages that count against them, and who comes first when it is busy."""
