"""The kernel half: which request the running code belongs to, and how it is shown.

It imports neither jupyter_server nor, before a notebook asks for it, IPython.
"""
