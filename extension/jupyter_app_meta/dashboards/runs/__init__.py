"""Running a notebook for one visitor: its kernel, its cells, its outputs, and the pools of kernels that run ahead.

What belongs here knows neither URLs nor a web framework: a run yields the pieces of a page, and ``web`` sends them.
"""
