"""The server half: captures requests, filters them, and stamps the messages that browsers send to kernels.

A module belongs here if it knows jupyter_server's handlers, connections or managers. ``messages`` knows only messages,
``pages`` knows which page a visitor looks at, and ``reports`` writes logs.
"""
