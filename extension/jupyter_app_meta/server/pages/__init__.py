"""Pages: which page each kernel and identity belongs to.

A module belongs here if it finds out, or remembers, which address a visitor looks at.
"""
