"""What a server tells a kernel without having been asked, as values ⇄ the content of messages.

    event = {"scope": name that the answer to "watch" gave, "keys": [key, …] or null, "by"}
          | {"scope": name that the answer to "listen" gave, "name", "data": text}

The data of a message is the text that ``values.encode`` makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from .. import forms


@dataclass(frozen=True, slots=True)
class Changed:
    """Other code has changed these keys, or any key if ``keys`` is None."""

    scope: str  #: as the answer to Watch names it; empty if any scope may have changed
    keys: tuple[str, ...] | None = None
    by: str | None = None  #: the display name of who changed it, where that is known


@dataclass(frozen=True, slots=True)
class Sent:
    """Other code, or an administrator, has sent a message."""

    scope: str  #: as the answer to Listen names it
    name: str
    data: str  #: the text of a value


Event: TypeAlias = Changed | Sent


def write_event(event: Event) -> dict[str, Any]:
    """Return the content of the message."""
    if isinstance(event, Sent):
        return {"scope": event.scope, "name": event.name, "data": event.data}
    return {"scope": event.scope, "keys": None if event.keys is None else [*event.keys], "by": event.by}


def read_event(content: object) -> Event:
    """Return the event of a message; raise forms.Misunderstood for any other content."""
    if isinstance(content, dict) and "name" in content:
        return _read_sent(forms.fields(content, {"scope", "name", "data"}))
    fields = forms.fields(content, {"scope", "keys", "by"})
    by = None if fields["by"] is None else forms.text(fields["by"], "by", forms.KEY_LIMIT)
    return Changed(_scope(fields), forms.some_keys(fields["keys"], "keys"), by)


def _read_sent(fields: dict[str, Any]) -> Sent:
    name, data = forms.message_name(fields["name"]), forms.message_data(fields["data"])
    return Sent(_scope(fields), name, data)


def _scope(fields: dict[str, Any]) -> str:
    return forms.text(fields["scope"], "scope", forms.KEY_LIMIT)
