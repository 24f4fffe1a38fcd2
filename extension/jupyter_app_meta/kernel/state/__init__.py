"""Stored state as authors use it, and how a kernel asks its server for it."""
