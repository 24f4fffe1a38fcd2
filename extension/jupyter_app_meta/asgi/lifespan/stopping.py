"""How a server is stopped from within, when the lifespan that its requests need has failed.

1. If this process handles SIGTERM, it gets SIGTERM. uvicorn and granian then stop as usual.
2. Otherwise, a worker process that multiprocessing started ends with SystemExit(1), once all requests have ended.
3. Otherwise (a test, a notebook) the error is raised, requests get 503, and no process is ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal


def stop_server() -> bool:
    """Send SIGTERM to this process if a handler waits for it; return whether it was sent."""
    if signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, signal.SIG_IGN, None):
        return False
    os.kill(os.getpid(), signal.SIGTERM)
    return True


def is_worker() -> bool:
    """Whether another process started this one to do its work."""
    return multiprocessing.parent_process() is not None
