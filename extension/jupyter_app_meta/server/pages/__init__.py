"""Pages: which page each identity looks at with each kernel.

A module belongs here if it finds out, or remembers, which address a visitor looks at.
"""
