"""The client of the measurements: HTTP without a library between, and a WebSocket that blocks.

It takes as little processor time as it can, because it runs on the machine that it measures.
"""

from __future__ import annotations

import http.client
import json
import re
from http.cookies import SimpleCookie
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import websocket

TIMEOUT = 60
"""Seconds for which a visitor waits."""


class Browser:
    """What one visitor's browser keeps: the server's address and its cookies."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}

    def get(self, path: str, wanted: str = "", headers: dict[str, str] | None = None) -> str:
        """Return the answer to GET; if ``wanted`` is among its bytes, only as far as that."""
        return self._request("GET", path, wanted.encode(), None, headers or {}).decode("utf-8", "replace")

    def post(self, path: str, body: object = None, headers: dict[str, str] | None = None) -> None:
        """Post a value as JSON."""
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data else {}
        self._request("POST", path, b"", data, kind | (headers or {}))

    def _request(self, method: str, path: str, wanted: bytes, body: bytes | None, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection(self.host, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, {**self._sent, **headers})
            response = connection.getresponse()
            for name, morsel in SimpleCookie("\r\n".join(response.headers.get_all("Set-Cookie", []))).items():
                self.cookies[name] = morsel.value
            data = b""
            while piece := response.read1():
                data += piece
                if wanted and wanted in data:
                    return data
            if response.status >= 400 or wanted:
                raise RuntimeError(f"{method} {path}: {response.status} {data[-300:]!r}")
            return data
        finally:
            connection.close()

    @property
    def _sent(self) -> dict[str, str]:
        text = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Accept": "text/html,*/*"} | ({"Cookie": text} if text else {})

    def socket(self, path: str, protocols: list[str] | None = None) -> Socket:
        """Open a WebSocket, as the page's script does."""
        cookie = self._sent.get("Cookie")
        origin = f"http://{self.host}"
        made = websocket.create_connection(
            f"ws://{self.host}{path}", timeout=TIMEOUT, cookie=cookie, origin=origin, subprotocols=protocols
        )
        return Socket(made)


class Socket:
    """A WebSocket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def send(self, *frames: str | bytes) -> None:
        """Send frames: texts, or bytes."""
        for frame in frames:
            self._socket.send(frame) if isinstance(frame, str) else self._socket.send_binary(frame)

    def until(self, *wanted: str) -> bytes:
        """Return what arrives, to the end of the frame in which the last of these texts stands."""
        missing, data, deadline = [text.encode() for text in wanted], b"", monotonic() + TIMEOUT
        while missing:
            if monotonic() > deadline:  # other frames may go on to arrive
                raise TimeoutError(f"no {missing} in {data[-500:]!r}")
            frame = self._socket.recv()
            data += frame.encode() if isinstance(frame, str) else frame
            missing = [text for text in missing if text not in data]
        return data

    def close(self) -> None:
        """Close it as a tab does."""
        self._socket.close()


def found(pattern: str, text: str | bytes) -> str:
    """Return the first group of a pattern's match; raises RuntimeError where there is none."""
    text = text if isinstance(text, str) else text.decode("utf-8", "replace")
    if match := re.search(pattern, text):
        return match[1]
    raise RuntimeError(f"{pattern} is not in {text[-500:]!r}")
