"""Kernels that are forked: one process runs a notebook ahead, up to its first question, and each visitor gets a fork.

==============  ==================================================================================================
strategy        what a dashboard asks: gives a run to a visitor, keeps a template and a few forks ahead
template        runs the notebook ahead in a process that can be forked, and knows what all its pages begin with
demand          whether a notebook's kernels are to be forked
files           the author's files on which a template depends, and whether one has changed
commands        starts that process, and has it forked
kernel          the kernel of a run: a fork, or the template itself
client          sends a kernel its cells over a private socket, without ZeroMQ
provisioner     makes a fork one of the kernels of the server's manager, when a browser connects
processes       a process as its descriptor shows it, and the pipe that ends it with this server
==============  ==================================================================================================

Linux only. Whatever cannot be forked is served as without this package: from a warm pool, or cold.
"""
