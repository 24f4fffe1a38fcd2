"""Asks a gateway over HTTP: for its kernelspecs, for new kernels, for their end and for their messages.

1. No request blocks the event loop, and each has a time limit.
2. A redirect is not followed, because the other server would get the gateway's token.
3. An error is GatewayFailed. Its text names the option and the fix. It contains no token and nothing of a visitor.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from typing import Any
from urllib.parse import quote

from jupyter_server.gateway.gateway_client import GatewayClient, NoOpTokenRenewer
from jupyter_server.utils import url_path_join
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from ..messages.frames import V1
from ..reports.logs import printable

AT_ONCE = 100
"""How many requests may be under way at once. Others wait."""

LARGEST = 2**30
"""How many bytes a message of a kernel may have."""

PING = 30.0
"""Seconds between two pings, so that a gateway that has vanished is noticed."""

ENDING = 20.0
"""Within this many seconds a gateway must end a kernel. Otherwise it is asked again later."""


class GatewayFailed(RuntimeError):
    """The gateway does not do what it was asked for. ``status`` is the HTTP status of its answer; 0 for no answer.

    A gateway explains an error in JSON (``is_explained``). Proxies in front of it do not.
    """

    def __init__(self, text: str, status: int = 0, is_explained: bool = False) -> None:
        super().__init__(text)
        self.status, self.is_explained = status, is_explained


class Gateway:
    """A Kernel Gateway, and the options with which it is asked."""

    def __init__(self, options: GatewayClient, log: logging.Logger) -> None:
        self.options, self.log = options, log
        self.url = options.url or ""
        self._client: AsyncHTTPClient | None = None

    async def specs(self) -> dict[str, dict[str, Any]]:
        """Return the gateway's kernelspecs by name, in the form of its API."""
        answer = await self._json("GET", url_path_join(self.url, self.options.kernelspecs_endpoint))
        found = answer.get("kernelspecs")
        return found if isinstance(found, dict) else {}

    async def start(self, name: str, env: dict[str, str]) -> str:
        """Start a kernel of this kernelspec with these variables; return its id."""
        answer = await self._json("POST", self._kernels(), {"name": name, "env": env})
        if not isinstance(found := answer.get("id"), str):
            raise GatewayFailed(f"The gateway {self.url} gave a new kernel no id: is GatewayClient.url a gateway's?")
        return found

    async def end(self, kernel_id: str) -> None:
        """End a kernel. One that the gateway does not know has ended."""
        try:
            async with asyncio.timeout(ENDING):
                await self._ask("DELETE", self._kernels(kernel_id))
        except TimeoutError:
            raise GatewayFailed(f"The gateway {self.url} did not end a kernel within {ENDING:.0f} seconds.") from None
        except GatewayFailed as error:
            if error.status != 404:
                raise

    async def interrupt(self, kernel_id: str) -> None:
        """Interrupt what a kernel runs."""
        await self._ask("POST", f"{self._kernels(kernel_id)}/interrupt", {})

    async def has(self, kernel_id: str) -> bool:
        """Whether the gateway knows a kernel. What only a proxy says, while the gateway starts, is an error."""
        try:
            await self._ask("GET", self._kernels(kernel_id))
        except GatewayFailed as error:
            if error.status == 404 and error.is_explained:
                return False
            raise
        return True

    async def state(self, kernel_id: str) -> str:
        """Return what a kernel does: busy, idle, starting or restarting."""
        return str((await self._json("GET", self._kernels(kernel_id))).get("execution_state"))

    async def connect(self, kernel_id: str, session_id: str) -> WebSocketClientConnection:
        """Return a WebSocket to a kernel's channels."""
        base = url_path_join(self.options.ws_url or "", self.options.kernels_endpoint, quote(kernel_id, safe=""))
        request = HTTPRequest(f"{base}/channels?session_id={session_id}", **await self._arguments())
        try:
            socket = await websocket_connect(request, ping_interval=PING, max_message_size=LARGEST, subprotocols=[V1])
        except (HTTPClientError, OSError) as error:
            raise self._failed(error) from None
        if socket.selected_subprotocol != V1:
            socket.close()
            raise GatewayFailed(
                f"The gateway {self.url} does not speak {V1}: dashboards and stored state need a gateway with "
                "jupyter_server 2, such as jupyter_kernel_gateway 3."
            )
        return socket

    def close(self) -> None:
        """Close what requests have kept open."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _kernels(self, kernel_id: str = "") -> str:
        base: str = url_path_join(self.url, self.options.kernels_endpoint)
        return f"{base}/{quote(kernel_id, safe='')}" if kernel_id else base

    async def _json(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        answer = await self._ask(method, url, body)
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise GatewayFailed(f"{self.url} does not answer as a gateway does: correct GatewayClient.url.")
        return found

    async def _ask(self, method: str, url: str, body: object = None) -> HTTPResponse:
        arguments = await self._arguments()
        if body is not None:
            arguments["headers"] = {**arguments.get("headers", {}), "Content-Type": "application/json"}
        if self._client is None:
            self._client = AsyncHTTPClient(force_instance=True, max_clients=AT_ONCE)
        request = HTTPRequest(
            url,
            method=method,
            body=None if body is None else json.dumps(body),
            follow_redirects=False,
            **arguments,
        )
        try:
            answer = await self._client.fetch(request)
        except (HTTPClientError, OSError) as error:
            raise self._failed(error) from None
        self.options.update_cookies(answer.headers)
        return answer

    async def _arguments(self) -> dict[str, Any]:
        """Return the arguments of a request: credentials, certificates and time limits."""
        load = self.options.load_connection_args
        still = isinstance(self.options.gateway_token_renewer, NoOpTokenRenewer)
        try:
            found: dict[str, Any] = load() if still else await asyncio.to_thread(load)  # type: ignore[no-untyped-call]  # jupyter_server's own
        except Exception as error:  # of a class that the deployer configured; its text may have the token
            raise GatewayFailed(
                f"GatewayClient.gateway_token_renewer_class gave no token for {self.url} ({type(error).__name__})."
            ) from None
        if self.options.ca_certs:
            found["ca_certs"] = self.options.ca_certs  # jupyter_server passes it with a client's certificate only
        return found

    def _failed(self, error: HTTPClientError | OSError) -> GatewayFailed:
        """Return what an error means for the deployer."""
        status = error.code if isinstance(error, HTTPClientError) and error.code != 599 else 0
        if status:
            said = _message(getattr(error, "response", None))
            return GatewayFailed(_explained(self.url, status, said), status, bool(said))
        if isinstance(error, ssl.SSLError):
            return GatewayFailed(
                f"The certificate of the gateway {self.url} is not accepted: set GatewayClient.ca_certs to the "
                "certificate that signed it."
            )
        return GatewayFailed(
            f"The gateway {self.url} does not answer ({printable(str(error))}): start it, or correct GatewayClient.url."
        )


def _explained(url: str, status: int, said: str) -> str:
    text = f"The gateway {url} answered {status}{said and f' ({said})'}"
    if status in (401, 403):
        return (
            f"{text}: GatewayClient.auth_token must be the gateway's token and GatewayClient.auth_scheme its scheme, "
            "and the gateway must have room for one more kernel."
        )
    if 300 <= status < 400:
        return f"{text}, a redirect, which is not followed: GatewayClient.url must be the gateway's own address."
    if status == 404:
        return f"{text}: the kernel has ended there, or GatewayClient.url is not the address of a gateway."
    return f"{text}: its log says why."


def _message(response: HTTPResponse | None) -> str:
    """Return what the gateway says about an error, in at most 200 characters."""
    try:
        body = json.loads(response.body) if response is not None else {}
        return printable(str(body.get("message") or body.get("reason") or ""))[:200]
    except (ValueError, AttributeError):
        return ""
