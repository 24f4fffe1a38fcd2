"""Servers that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import Server, Visitor, serving

PEOPLE = "c.ServerApp.identity_provider_class = 'providers.People'\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A plain server with a token."""
    with serving(tmp_path_factory.mktemp("server"), debug=True) as server:
        yield server


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose visitors are several people."""
    with serving(tmp_path_factory.mktemp("people"), config=PEOPLE, token="", debug=True) as server:
        yield server


@pytest.fixture
def alice(people: Server) -> Visitor:
    """Alice's browser."""
    return people.visitor(cookies={"person": "alice"})


@pytest.fixture
def bob(people: Server) -> Visitor:
    """Bob's browser."""
    return people.visitor(cookies={"person": "bob"})
