"""Requests to the provider. They wait at most ten seconds, never block the server, and follow no redirect."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from ...server.local import LOOPBACK
from .faults import Away, Fault

SECONDS = 10
LARGEST = 1024 * 1024

Json = dict[str, Any]


def is_safe(url: object) -> bool:
    """Whether a URL is https, or leads to this machine."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return False
    if parts is None or not parts.hostname or parts.username or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


async def get(url: str, token: str = "") -> Json:
    """Return the JSON object at a URL; raises Away."""
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return await _asked(HTTPRequest(url, headers=headers, **_LIMITS))


async def post(url: str, fields: dict[str, str], headers: dict[str, str]) -> Json:
    """Post a form and return the JSON object of the answer; raises Away, or Fault if the provider refuses the form."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", **headers}
    return await _asked(HTTPRequest(url, "POST", headers, urlencode(fields), **_LIMITS))


_LIMITS: Any = {"request_timeout": SECONDS, "connect_timeout": SECONDS, "follow_redirects": False}


async def _asked(request: HTTPRequest) -> Json:
    where = urlsplit(request.url)
    client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=LARGEST)
    try:
        answer = await client.fetch(request)
        found = json.loads(answer.body)
    except HTTPClientError as error:
        kind = Fault if 400 <= error.code < 500 else Away
        raise kind(f"{where.netloc}{where.path} answers {error.code}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise Away(f"{where.netloc}{where.path} cannot be used ({type(error).__name__})") from error
    finally:
        client.close()
    if not isinstance(found, dict):
        raise Away(f"{where.netloc}{where.path} answers no JSON object")
    return found
