"""A page that has nothing but a name, and the headers of ours that decide how a browser shows a page.

No page of ours can be seen earlier, nor tell its tab earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Address = Callable[[str], str]
"""Returns the URL of a page for a person."""

TAB = '<script>fetch("/api/app-meta/tab/none", { method: "POST" })</script>'
"""Asks the server at once, as a page of ours does to tell its tab."""


@contextmanager
def least() -> Iterator[Address]:
    """Run a server of such pages."""

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = f"<div id=rendered_cells><pre>{self.path} is here</pre></div>"
            text = f"<!DOCTYPE html><title>x</title>{TAB if 'tab' in self.path else ''}{name}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=UTF-8")
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield lambda person: f"http://127.0.0.1:{server.server_port}/{person}"
        server.shutdown()
