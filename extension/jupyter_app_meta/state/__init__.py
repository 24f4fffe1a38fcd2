"""Stored state: what may be stored, for whom it is kept, and who may ask for it. Pure; it knows nothing of Jupyter."""
