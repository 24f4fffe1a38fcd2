"""What can go wrong: one class for each cause, and one tree of them.

The tree::

    AppMetaError
    ├── NotAuthenticated      ``require_user()`` found no user that the server vouches for
    ├── NotClaimed            code in a warm kernel asked for its visitor, and no visitor arrived
    ├── UnknownField          ``%app_meta`` was asked for a field that a request does not have
    │   └── UnknownItem       ``headers["..."]`` failed: a KeyError that says what is there, or why it is not
    ├── NotPicklable          a request must not leave its process
    ├── PolicyError           an option of ``AppMetaExtension`` has an unusable value
    ├── BadStamp              a stamp cannot be believed
    │   └── UnknownVersion    ... because a newer server wrote it
    ├── RequirementMissing    a package that dashboards need is missing or too old
    ├── LifespanError         a lifespan, or the factory of an application, cannot be entered
    ├── DashboardError        ``create_app()`` or ``serve`` was given something that it cannot serve
    │   ├── KernelMissing     ... because a notebook's kernel is not installed
    │   └── BadNotebook       ... because a notebook in text cannot be read
    ├── IdentityError         an identity provider cannot be set up
    ├── PageError             the visitor's page cannot do what code asks
    │   ├── NoPage            ... because the running code belongs to no dashboard's page
    │   ├── RedirectRefused   ... because it may not lead to that address
    │   └── CookieRefused     ... because the deployer does not list the cookie, or no cookie has that form
    └── StateError            stored state cannot be read or written
        ├── StateUnavailable  ... because the store or the server does not answer
        ├── NoVisitor         ... because the running code belongs to no visitor
        ├── Conflict          ... because what was read has changed since
        ├── Unstorable        ... because the value would not come back as it is
        └── TooLarge          ... because a limit of the deployer is reached

Errors that one package raises for another to catch (a refused message, a page too many, a kernel that failed) are not
in the tree, because no author or deployer meets them. Their classes are defined beside the code that raises them.
"""

from __future__ import annotations

from collections.abc import Callable


class AppMetaError(Exception):
    """Base of every error that this package raises on purpose."""


class NotAuthenticated(AppMetaError, PermissionError):
    """The running code has no authenticated user; the message says why, and what to do."""


class NotClaimed(AppMetaError, TimeoutError):
    """Code in a warm kernel asked for the request, but the kernel ended or the timeout passed before a visitor came."""


class UnknownField(AppMetaError, LookupError):
    """The field does not exist; the message lists the fields that do."""


class UnknownItem(UnknownField, KeyError):
    """A mapping has no such item. The message lists the items that it has, or the option that opens a withheld item.

    ``name`` is the name of the item. The message has names, never values. It is built when it is read, so that ``get``
    is cheap.
    """

    def __init__(self, name: object, explain: Callable[[], str] | str) -> None:
        super().__init__(name)
        self.name, self._explain = name, explain

    def __str__(self) -> str:
        return self._explain if isinstance(self._explain, str) else self._explain()

    def __reduce__(self) -> tuple[type[UnknownItem], tuple[object, str]]:
        return type(self), (self.name, str(self))


class NotPicklable(AppMetaError, TypeError):
    """A request cannot be pickled. Pass the plain values that the other process needs."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} cannot be pickled: it belongs to the request of one visitor. "
            "Pass plain values instead, for example dict(request.user)."
        )


class PolicyError(AppMetaError, ValueError):
    """An option has an unusable value.

    ``option`` is the trait's name; ``problem`` is a sentence that says how to fix the value.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"AppMetaExtension.{option}: {problem}")
        self.option = option
        self.problem = problem


class BadStamp(AppMetaError, ValueError):
    """A stamp is missing a part, damaged, or not signed with this kernel's key."""


class UnknownVersion(BadStamp):
    """A stamp has a major version that this kernel half does not read."""


class RequirementMissing(AppMetaError, ImportError):
    """A package that dashboards need is missing or too old; the message says what to install."""


class LifespanError(AppMetaError, RuntimeError):
    """A lifespan or an application factory cannot be entered; the message says what it must be."""


class DashboardError(AppMetaError, ValueError):
    """A source or an option cannot be served. The message names it, and says what to do."""


class KernelMissing(DashboardError):
    """A notebook names a kernel that is not installed."""


class BadNotebook(DashboardError):
    """A notebook in text (.py, .md) cannot be read; the message says why, and what to do."""


class IdentityError(AppMetaError, ValueError):
    """An identity provider cannot be set up. The message names the option or the file and its line, and the fix."""


class PageError(AppMetaError):
    """The visitor's page cannot do what code asks; its subclasses say why."""


class NoPage(PageError, LookupError):
    """The running code belongs to no dashboard's page, so there is no address bar, title or cookie to set."""


class RedirectRefused(PageError, ValueError):
    """A page may not be redirected to this address. The message names the option that allows an origin."""


class CookieRefused(PageError, ValueError):
    """Code may not set this cookie. The message names the option or the fix, and never the value."""


class StateError(AppMetaError):
    """Stored state cannot be read or written; its subclasses say why."""


class StateUnavailable(StateError, ConnectionError):
    """The server or its store does not answer.

    ``may_have_happened`` is False if the operation certainly did nothing, so that it is safe to try again. It is True
    if the operation was sent and no answer came.
    """

    def __init__(self, message: str, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class NoVisitor(StateError, LookupError):
    """The running code belongs to no visitor, so there is no state of a visitor or of a tab. ``shared`` needs none."""


class Conflict(StateError):
    """What an operation had read has changed since, and nothing was written.

    ``key`` is the key that has changed, or None if it is not known.
    """

    def __init__(self, key: str | None = None) -> None:
        named = "A key that was read" if key is None else f"The key {key!r}"
        super().__init__(f"{named} has changed since it was read, and nothing was written: read again, and try again.")
        self.key = key

    def __reduce__(self) -> tuple[type[Conflict], tuple[str | None]]:
        return type(self), (self.key,)


class Unstorable(StateError, TypeError):
    """The value would not come back as it is. The message names the place in the value, and what to store instead."""


class TooLarge(StateError, ValueError):
    """A key, a value or a whole state exceeds a limit. The message names the limit and the option that sets it."""


class StateNotKept(UserWarning):
    """There is no server here, so stored state is gone when this process ends."""
