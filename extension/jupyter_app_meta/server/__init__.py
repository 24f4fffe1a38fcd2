"""The server half: captures requests, filters them, and stamps what browsers send to kernels."""
