"""What may be stored, for which person it is kept, and who may ask for it. Pure; it knows nothing of Jupyter."""
