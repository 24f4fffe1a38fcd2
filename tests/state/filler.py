"""A process of its own that fills a scope until it is full: URL, the parts of a scope as JSON, how many keys fit."""

from __future__ import annotations

import json
import sys

from jupyter_app_meta.errors import TooLarge
from jupyter_app_meta.state.keys import Scope
from jupyter_app_meta.state.stores.open import open_store
from jupyter_app_meta.state.values import Limits


def main(url: str, parts: str, keys: str) -> None:
    """Put and add keys of its own, after the line that says to begin; print how many there was room for."""
    store, scope, limits = open_store(url), Scope(*json.loads(parts)), Limits(keys=int(keys))
    store.check()
    print("ready", flush=True)
    process, done = sys.stdin.readline().strip(), 0
    for number in range(int(keys)):
        try:
            if number % 2:
                store.add(scope, f"{process} {number}", number, limits=limits)
            else:
                store.apply(scope, {}, {f"{process} {number}": "1"}, (), None, limits=limits)
        except TooLarge:
            continue
        done += 1
    print(done)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
