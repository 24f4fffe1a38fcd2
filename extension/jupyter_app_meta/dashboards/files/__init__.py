"""What lies on the deployer's disk: the notebooks of a folder, the kernels they name, the files beside them, templates.

What belongs here reads files and says what may be served; it starts nothing and sends nothing.
"""
