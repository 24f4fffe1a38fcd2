"""Reports: what the author and the deployer read about kernels, and what the visitor is told instead.

A module belongs here if it writes log lines, bounds them, or gives errors their ids.
"""
