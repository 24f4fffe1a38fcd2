"""Reports: what authors and deployers read about kernels, and what visitors are told instead.

A module belongs here if it writes log lines, bounds them, or gives errors their ids.
"""
