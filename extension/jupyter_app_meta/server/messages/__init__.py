"""Messages between browsers and kernels: their frames, which may pass, how many are under way, and their stamps.

A module belongs here if it reads, judges, changes or counts messages. It does not know handlers or managers.
"""
