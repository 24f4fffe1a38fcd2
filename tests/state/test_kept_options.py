"""What a deployer's options change for code in notebooks, and what a person may ask a server of notebooks for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from harness import Server, Socket, Visitor, serving

CONFIG = (
    "c.ServerApp.identity_provider_class = 'providers.People'\n"
    "c.AppMetaExtension.presence = 'off'\nc.AppMetaExtension.preferences = ['language', 'size']\n"
    "c.AppMetaExtension.state_limits = {'value': 100}\n"
)
NAMES = """
from jupyter_app_meta import session, shared, visitor
def told(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""
MINE, XSRF = "api/app-meta/me/state", "ab" * 16


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of notebooks with these options."""
    with serving(tmp_path_factory.mktemp("options"), config=CONFIG, token="") as server:
        yield server


def notebook(server: Server, person: str) -> tuple[Visitor, Socket]:
    """Open a notebook of its own as this person."""
    visitor = server.visitor(cookies={"person": person, "_xsrf": XSRF})
    name = f"{uuid.uuid4().hex}.ipynb"
    body = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "app-meta-test"}}
    response = visitor.call("POST", "/api/sessions", body)
    response.raise_for_status()
    socket = visitor.connect(response.json()["kernel"]["id"])
    assert not socket.run(NAMES).text
    return visitor, socket


def test_preferences_are_a_persons_in_each_notebook(server: Server) -> None:
    """Those that the deployer has named, with short values; another person has their own."""
    first, second, other = (notebook(server, person)[1] for person in ("alice", "alice", "bob"))
    first.run("visitor.preferences['language'] = 'de'; visitor.preferences.add('size', 2)")
    assert second.run("print(sorted(visitor.preferences.items()))").text == "[('language', 'de'), ('size', 2)]\n"
    assert other.run("print(dict(visitor.preferences))").text == "{}\n"
    refused = first.run("print(told(lambda: visitor.preferences.set('token', 1)))").text
    assert refused.startswith("Unstorable: 'token' is not a preference") and "allows: language, size." in refused
    assert first.run("print(told(lambda: visitor.preferences.set('size', [1])))").text.startswith("Unstorable: ")


def test_code_is_told_nothing_of_others_where_presence_is_off(server: Server) -> None:
    """The error names the option; state works."""
    _, socket = notebook(server, "alice")
    for call in ("shared.viewers", "visitor.pages"):
        text = socket.run(f"print(told({call}))").text
        assert text.startswith("StateUnavailable: ") and "presence is 'off'" in text
    assert socket.run("print(shared.state.add('n'))").text == "1\n"


def test_a_limit_of_the_deployer_holds(server: Server) -> None:
    """And names itself, whatever the kernel half would allow."""
    _, socket = notebook(server, "alice")
    assert (
        "state_limits['value'] allows 100" in socket.run("print(told(lambda: visitor.state.set('a', 'x' * 99)))").text
    )
    assert socket.run("visitor.state['a'] = 'x' * 98; print(len(visitor.state['a']))").text == "98\n"


def test_a_person_has_and_erases_what_is_stored_in_all_notebooks(server: Server) -> None:
    """Over HTTP, with the XSRF token: in each notebook, and nothing of another person or of everybody."""
    carol, first = notebook(server, "carol")
    second, other = notebook(server, "carol")[1], notebook(server, "dora")[1]
    for socket in (first, second, other):
        socket.run("session.state['s'] = visitor.state['v'] = shared.state['all'] = 1")
    lines = [json.loads(line) for line in carol.get(MINE).text.splitlines()]
    assert sorted((line["audience"], line["key"], line["value"]) for line in lines) == [
        *2 * [("session", "s", 1)],
        *2 * [("visitor", "v", 1)],
    ]
    wants = {"Accept": "text/html, application/json"}
    answer = carol.http.get(MINE, headers=wants)
    assert answer.json() == lines and answer.headers["Content-Type"] == "application/json"
    assert carol.http.delete(MINE).status_code == 403
    assert carol.call("DELETE", MINE).status_code == 204 and not carol.get(MINE).text
    assert carol.http.get(MINE, headers=wants).json() == []
    for socket, left in ((first, 0), (second, 0), (other, 1)):
        counts = socket.run("print(len(session.state), len(visitor.state), len(shared.state))").text
        assert counts == f"{left} {left} 1\n"


def test_a_server_that_keeps_no_state_says_so_over_http(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither lists pages nor has anything of a person's; the message names the option."""
    with serving(tmp_path_factory.mktemp("off"), config="c.AppMetaExtension.state_url = 'off'\n") as server:
        owner = server.visitor()
        for path in ("api/app-meta/sessions", MINE):
            answer = owner.get(path)
            assert (answer.status_code, "state_url is off" in answer.text) == (404, True)
