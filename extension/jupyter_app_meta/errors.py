"""What can go wrong, one class per cause.

The tree::

    AppMetaError
    ├── NotAuthenticated      ``require_user()`` found nobody it may trust
    ├── NotClaimed            a warm kernel asked for its visitor, and none came
    ├── UnknownField          ``%app_meta`` was asked for something a request does not have
    │   └── UnknownItem       ``headers["..."]`` and the like: a KeyError that says what is there, or why it is not
    ├── NotPicklable          a request must not leave its process
    ├── PolicyError           an option of ``AppMetaExtension`` has an unusable value
    └── BadStamp              a stamp cannot be believed
        └── UnknownVersion    ... because a newer server wrote it
"""

from __future__ import annotations

from collections.abc import Callable


class AppMetaError(Exception):
    """Base of every error that this package raises on purpose."""


class NotAuthenticated(AppMetaError, PermissionError):
    """The running code has no authenticated user."""


class NotClaimed(AppMetaError, TimeoutError):
    """Code that was run ahead asked for the request, and the kernel ends, or its timeout passed, without a visitor."""


class UnknownField(AppMetaError, LookupError):
    """A field was asked for that does not exist; the message lists those that do."""


class UnknownItem(UnknownField, KeyError):
    """A mapping has no such item. The message says which items it has, and of a withheld one what opens it.

    ``name`` is what was asked for. The message has names only, and is made when it is read, so that ``get`` is cheap.
    """

    def __init__(self, name: object, explain: Callable[[], str] | str) -> None:
        super().__init__(name)
        self.name, self._explain = name, explain

    def __str__(self) -> str:
        return self._explain if isinstance(self._explain, str) else self._explain()

    def __reduce__(self) -> tuple[type[UnknownItem], tuple[object, str]]:
        return type(self), (self.name, str(self))


class NotPicklable(AppMetaError, TypeError):
    """A request was about to be pickled; pass the plain values that are needed instead."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} cannot be pickled: it belongs to the request of one visitor. "
            "Pass plain values instead, for example dict(request.user)."
        )


class PolicyError(AppMetaError, ValueError):
    """An option has an unusable value.

    ``option`` is the trait's name, ``problem`` a sentence that says how to mend it.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"AppMetaExtension.{option}: {problem}")
        self.option = option
        self.problem = problem


class BadStamp(AppMetaError, ValueError):
    """A stamp is missing a part, damaged, or not signed with this kernel's key."""


class UnknownVersion(BadStamp):
    """A stamp has a major version that this kernel half does not read."""
