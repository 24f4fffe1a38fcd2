"""Running a notebook for one visitor: its kernel, its cells, its outputs, and the pools of kernels that run ahead.

A module belongs here if it knows neither URLs nor a web framework. A run yields the pieces of a page, and ``web`` sends
them.
"""
