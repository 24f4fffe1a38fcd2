"""Every point at which a deployer's code, or another part of the package, is called: one Protocol for each.

Deployers write the functions ``Meta``, ``Authorize`` and ``OnError``. Each may be plain or async. They fail closed: a
function that raises an error, or returns something other than its Protocol says, adds nothing and admits no visitor.
Only its name and the error's type are logged, because an error's text may hold a visitor's data.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import wraps
from typing import Any, Protocol

from traitlets.config import Config

from ..errors import PolicyError
from ..model import HTTPRequest, Mode, SessionInfo, User
from ..policy import RawRequest
from ..state.keys import Identity


class Meta(Protocol):
    """``AppMetaExtension.request_hook``, and a dashboard's ``meta``: the deployer's own fields of a request.

    It is called for each connection, each page, and each HTTP request for which the server runs code. Its argument has
    the parts of the request that deployers may see. Cells see its answer as ``app_meta().request.meta``. The answer may
    have at most 4096 bytes as JSON, and an async function may take at most 5 seconds.
    """

    def __call__(self, request: HTTPRequest, /) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        """Return a dict of JSON values."""


class Authorize(Protocol):
    """A dashboard's ``authorize``: whether a visitor may see its page.

    It is called before the page is looked up, and again for each request of the page's script. A visitor without a
    name is a ``User`` whose ``is_authenticated`` is False.
    """

    def __call__(self, user: User, request: HTTPRequest, /) -> bool | str | Awaitable[bool | str]:
        """Return True to admit the visitor, False to refuse (403), or the URL to redirect the visitor to."""


class ValidateCallback(Protocol):
    """A directory's ``validate_callback`` inside an ASGI host: whether a visitor may see one of its notebooks.

    It is called as often as ``authorize``. An error that has an integer ``status_code`` refuses with that status.
    """

    def __call__(self, app_path: str, scope: MutableMapping[str, Any], /) -> bool | Awaitable[bool]:
        """Return True to admit the visitor, False to answer 404; ``app_path`` is the notebook's name."""


class OnError(Protocol):
    """``on_error``: the deployer's own error page. ``request`` is None if the error came before it was read."""

    def __call__(self, status: int, request: HTTPRequest | None, /) -> str | Awaitable[str | None] | None:
        """Return the page's HTML; None for the server's own page."""


class KernelMeta(Protocol):
    """How stamps get the deployer's own fields: ``Meta``, for the kernel of a connection."""

    def __call__(self, kernel_id: str, request: HTTPRequest, /) -> Awaitable[Mapping[str, Any]]:
        """Return the fields; an empty dict if there are none. Never raises."""


class Audit(Protocol):
    """Records which visitor made a kernel run code: ``audit.EventAudit``."""

    def note(self, user: User | None, kernel_id: str, path: str | None, header: dict[str, Any], /) -> None:
        """Record a message with this header, if it makes the kernel run code. Never raises."""

    def administered(self, action: str, user: User, session: str, /) -> None:
        """Record what an administrator did to a live page: ``end`` or ``send``. Never raises."""

    def forgot(self, person: Identity, /) -> None:
        """Record that what is stored about a person was erased. Never raises."""


class Live(Protocol):
    """Is told of connections that open and close: ``live.editors.Editors``."""

    def opened(self, connection: Any, /) -> None:
        """Note a connection that opens."""

    def closed(self, connection: Any, /) -> None:
        """Note a connection that closes."""


class Granting(Protocol):
    """Makes the grants with which kernels ask for stored state: ``links.granting.Grants``."""

    @property
    def turn(self) -> int:
        """A number that changes when grants that were made may have been revoked."""

    def token(
        self, kernel_id: str, raw: RawRequest | None, identity_key: str, session: SessionInfo, mode: Mode, /
    ) -> str | None:
        """Return a grant for the visitor of a request, or for no visitor; None if the kernel cannot have one."""


class Stamper(Protocol):
    """Stamps the messages of one of the server's own kernel clients."""

    def message(self, msg: dict[str, Any], /) -> dict[str, Any]:
        """Return the message with its stamp, if it is to have one."""


META_LIMIT = 4096
"""The most bytes that the deployer's own fields may take as JSON."""

DEPTH = 20
"""How deep lists and dicts in the fields may be nested."""

TIME_LIMIT = 5.0
"""How many seconds an async function may take for the fields. Its visitor waits for it."""

FAILED = object()
"""What ``call`` returns for a function that failed."""


def load(option: str, given: object) -> Callable[..., Any] | None:
    """Return the function that an option is, or names as ``module:function``; None if the option is empty.

    Raises PolicyError for anything else.
    """
    if given is None or given == "":  # `not given` would also drop a callable that is falsy
        return None
    function = _import(option, given) if isinstance(given, str) else given
    if not callable(function):
        raise PolicyError(
            option, f"{given!r} is not a function: give a function, or its name such as 'our_module:our_function'."
        )
    return function


def keep(config: Config, section: str, option: str) -> None:
    """Keep traitlets from copying an option's function, and the object that the function belongs to."""
    given = config.get(section, {}).get(option)
    if callable(given) and not inspect.isfunction(given):

        @wraps(given, updated=())
        def same(*arguments: Any) -> Any:
            return given(*arguments)

        same.__qualname__ = name(given)
        config[section][option] = same


def _import(option: str, text: str) -> object:
    module, colon, attributes = text.partition(":")
    if not (module and colon and attributes):
        raise PolicyError(option, f"{text!r} does not name a function: write 'our_module:our_function'.")
    try:
        found: object = pkgutil.resolve_name(text)
    except (Exception, SystemExit) as error:  # the deployer's module may raise anything
        problem = f"{text!r} cannot be imported ({type(error).__name__}: {error}): is it on the server's PYTHONPATH?"
        raise PolicyError(option, problem) from error
    return found


async def meta_of(hook: Meta | None, request: HTTPRequest, log: logging.Logger) -> Mapping[str, Any]:
    """Return the deployer's own fields for a request; none if they are not a JSON object, or are too large."""
    answer = await call(hook, log, request, timeout=TIME_LIMIT) if hook is not None else {}
    if answer is FAILED:
        return {}
    text = _text(answer) if _is_plain(answer) else None
    if text is None:
        log.warning("%s did not return a dict of JSON values: request.meta is empty.", name(hook))
        return {}
    if len(text) > META_LIMIT:
        log.warning("%s returned more than %s bytes: request.meta is empty.", name(hook), META_LIMIT)
        return {}
    plain: dict[str, Any] = json.loads(text)
    return plain


def _is_plain(value: object, depth: int = DEPTH) -> bool:
    """Whether all names in a value are strings, as in JSON, and it is not nested too deep for any parser."""
    try:
        if isinstance(value, Mapping):
            return depth > 0 and all(isinstance(key, str) and _is_plain(value[key], depth - 1) for key in value)
        return not isinstance(value, list | tuple) or (depth > 0 and all(_is_plain(item, depth - 1) for item in value))
    except Exception:  # a mapping of the deployer's own may raise anything
        return False


def _text(answer: object) -> str | None:
    try:
        return json.dumps(dict(answer), allow_nan=False) if isinstance(answer, Mapping) else None
    except Exception:  # a mapping of the deployer's own may raise anything
        return None


async def call(function: Callable[..., Any], log: logging.Logger, *arguments: Any, timeout: float | None = None) -> Any:
    """Return a function's answer, awaited if it is async; FAILED if it raises or takes too long."""
    task = asyncio.current_task()
    try:
        async with asyncio.timeout(timeout):
            answer = function(*arguments)
            answer = await answer if inspect.isawaitable(answer) else answer
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if task and task.cancelling():
            # The request is cancelled, even if the function has swallowed the cancellation.
            raise asyncio.CancelledError from error
        log.warning("%s raised %s.", name(function), type(error).__name__)
        log.debug("The error was raised here:", exc_info=True)
        return FAILED
    if task and task.cancelling():
        raise asyncio.CancelledError
    return answer


def name(function: object) -> str:
    """Return a function's name for logs."""
    return getattr(function, "__qualname__", type(function).__name__)
