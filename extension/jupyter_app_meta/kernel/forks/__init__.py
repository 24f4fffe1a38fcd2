"""Kernels that are forked from a template: one process that ran the notebook ahead, and one fork for each visitor.

Linux only: it reads /proc.

::

    template ── application, asking ──> process <── sockets (outlets, private, frames)
        │                                   ^
        ├── safety (owners)                 ├── ahead: before its visitor is there
        │                                   ├── attaching: when a browser connects
        └── fork ── child (life, files, seeds, ending, title)

The server shares ``sockets.frames`` and ``sockets.commands`` with it. They import neither ipykernel nor ZeroMQ.
"""
