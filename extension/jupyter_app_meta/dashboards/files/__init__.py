"""The deployer's files: notebooks of a folder, the kernels that they name, the files beside them, templates.

A module belongs here if it reads files and says what may be served. It starts nothing and sends nothing.
"""
