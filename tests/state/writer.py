"""A process of its own that writes to a store, in two threads: URL, the parts of a scope as JSON, rounds."""

from __future__ import annotations

import json
import sys
import threading

from databases import open_any

from jupyter_app_meta.errors import Conflict
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.base import Store

THREADS = 2


def change(store: Store, scope: Scope) -> None:
    """Count one up, by compare-and-set."""
    while True:
        have = store.read(scope.id, ["changed"]).get("changed")
        text, version = ("0", 0) if have is None else (have.text, have.version)
        try:
            store.apply(scope, {"changed": version}, {"changed": str(int(text) + 1)}, (), None)
        except Conflict:
            continue
        return


def write(store: Store, scope: Scope, rounds: int, name: str) -> None:
    """Count up in both ways, and put something that no other thread writes."""
    for _ in range(rounds):
        change(store, scope)
        store.add(scope, "added", 1)
    store.apply(scope, {}, {name: "true"}, (), None)


def main(url: str, parts: str, rounds: str) -> None:
    """Write, after the line that says to begin."""
    store, scope = open_any(url), Scope(*json.loads(parts))
    store.check()
    print("ready", flush=True)
    process = sys.stdin.readline().strip()
    threads = [
        threading.Thread(target=write, args=(store, scope, int(rounds), f"{process}{number}"))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
