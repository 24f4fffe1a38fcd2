"""The connections to Redis, what its errors mean, and what the deployer should know about its settings."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.commands.core import Script
from redis.retry import Retry

from ....errors import PolicyError, StateUnavailable
from ..feeding import LOOK
from ..schema import SCHEMA, check_schema

PREFIX = "app-meta:"
CHANNEL = f"{PREFIX}changed"
# Connections that are used at once, and seconds to wait for one of them, for Redis, and for its answer.
CONNECTIONS, CONNECT, PATIENCE = 16, 2.0, 5.0
# What redis-py says of a command that it did not send.
UNSENT = ("connecting to", "No connection available")
# Keys that one step of a scan looks at.
STEP = 500


class Server:
    """The Redis of a URL, by a bounded pool of connections; ``name`` tells this store from others."""

    def __init__(self, url: str) -> None:
        self.name = secrets.token_hex(8)
        self._pool = _pool(url)
        self._redis = redis.Redis(connection_pool=self._pool)
        self._scripts: dict[str, Script] = {}
        self._ready = False

    def run(self, script: str, key: str, *arguments: str) -> Any:
        """Run a script on one key; Redis is given the text again if it was restarted."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self._redis.register_script(script)
        with self._errors():
            self._prepare()
            # hiredis, which redis-py uses if it is there, does not encode half surrogates, which keys may hold.
            return known(keys=[key], args=[text.encode("utf-8", "surrogatepass") for text in arguments])

    def field(self, key: str, name: str) -> str | None:
        """Return a field of a hash."""
        with self._errors():
            self._prepare()
            found: Any = self._redis.hget(key, name)
            return None if found is None else str(found)

    def scan(self, pattern: str) -> Iterator[str]:
        """Yield the keys that match, each of them once or more often."""
        with self._errors():
            yield from self._redis.scan_iter(match=pattern, count=STEP)

    def members(self, key: str) -> list[str]:
        """Return the members of a set."""
        with self._errors():
            return sorted(map(str, self._redis.smembers(key)))

    def listen(self, stopped: threading.Event) -> Iterator[str | None]:
        """Yield None once it listens and whenever nothing comes for a moment, else what is published."""
        with PubSub(self._pool) as channel:
            channel.subscribe(CHANNEL)
            while not stopped.is_set():
                message = channel.get_message(timeout=LOOK)
                yield message["data"] if message and message["type"] == "message" else None

    def warnings(self) -> tuple[str, ...]:
        """Return what may lose state: eviction, and memory that is not written to a disk."""
        with self._errors():
            self._prepare()
            memory, disk = self._redis.info("memory"), self._redis.info("persistence")
        found = []
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            found.append(f"Redis evicts state when its memory is full: set maxmemory-policy noeviction, not {policy}.")
        if not disk.get("aof_enabled"):
            found.append("Redis loses its last writes when it stops: set appendonly yes.")
        return tuple(found)

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    def _prepare(self) -> None:
        if self._ready:
            return
        name = f"{PREFIX}schema"
        found = self._redis.get(name)
        if found is None:
            self._redis.set(name, SCHEMA, nx=True)
        else:
            check_schema("The state's Redis", str(found))
        self._ready = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            # A connection that could not be made has carried nothing; one that broke may have.
            lost = isinstance(error, redis.ConnectionError | redis.TimeoutError)
            doubt = lost and not any(text in str(error) for text in UNSENT)
            cause = type(error).__name__
            raise StateUnavailable(f"The state's Redis cannot be used: {cause}.", may_have_happened=doubt) from error


def _pool(url: str) -> redis.BlockingConnectionPool:
    for valkey, its in (("valkey://", "redis://"), ("valkeys://", "rediss://")):
        if url.startswith(valkey):
            url = its + url.removeprefix(valkey)
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE,
            decode_responses=True,
            encoding_errors="surrogatepass",
            socket_timeout=PATIENCE,
            socket_connect_timeout=CONNECT,
            # A command that is sent again may be done twice; a feed that connects again unseen has missed something.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # The exception may show the URL, which may have a password.
        raise PolicyError("state_url", "it is not a Redis URL: redis://host:6379/0 or unix:///path.") from None
    return pool
