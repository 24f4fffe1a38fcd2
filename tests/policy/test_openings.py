"""What the policy's options open, as a report and a log line say it."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_app_meta.policy import OPEN_HEADERS, Policy, openings


def policy(**options: Any) -> Policy:
    """Return a policy with these options."""
    return Policy.of(**options)


def test_without_options_only_what_is_open_by_itself_is_listed() -> None:
    """A report begins with what crosses by itself."""
    assert openings.opened(policy(), "headers") == list(OPEN_HEADERS)
    assert openings.opened(policy(), "cookies") == [openings.PREFERENCES]
    assert openings.warnings(policy()) == []


def test_options_that_open_something_are_listed_once() -> None:
    """Names and patterns of both kinds of options follow, each of them once."""
    opens = policy(headers_allow=["x-ab-*", "accept"], unsafe_headers=["X-Api-Key"], cookies_allow=["sidebar"])
    assert openings.opened(opens, "headers") == [*OPEN_HEADERS, "x-ab-*", "x-api-key"]
    assert openings.opened(opens, "cookies") == [openings.PREFERENCES, "sidebar"]
    assert openings.warnings(opens) == []


@pytest.mark.parametrize(
    ("option", "name", "remedy"),
    [
        ("headers_allow", "authorization", "unsafe_headers"),
        ("headers_allow", "cookie", "never"),
        ("cookies_allow", "session_id", "unsafe_cookies"),
        ("cookies_allow", "*session*", "unsafe_cookies: add the exact name"),
        ("headers_allow", "x-forwarded-user*", "headers_allow: add the exact name"),
    ],
)
def test_a_name_that_opens_nothing_is_not_listed_but_warned_of(option: str, name: str, remedy: str) -> None:
    """A deployer reads which name opens nothing, and what would open it."""
    idle = policy(**{option: [name]})
    kind: openings.Kind = "headers" if option == "headers_allow" else "cookies"
    assert name not in openings.opened(idle, kind)
    [warning] = openings.warnings(idle)
    assert warning.startswith(f"AppMetaExtension.{option} opens nothing by ")
    assert remedy in warning


def test_a_pattern_of_addresses_opens_them() -> None:
    """A pattern that names addresses in particular opens something, though no header has its very name."""
    assert openings.warnings(policy(headers_allow=["x-forwarded-f*"])) == []
