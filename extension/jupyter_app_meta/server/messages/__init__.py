"""Messages between browsers and kernels: their frames, what may pass, how much is under way, and their stamps.

A module belongs here if it reads, judges, changes or counts messages. It does not know handlers or managers.
"""
