"""Of a kernel's messages a page gets the listed types with the listed fields, in each form, and its author the rest."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from jupyter_app_meta.policy import Policy
from jupyter_app_meta.server.context import StampingContext
from jupyter_app_meta.server.messages.outgoing import SHOWN, Outgoing
from jupyter_app_meta.server.page_connection import page_connection
from jupyter_app_meta.server.pages.origins import Origins
from jupyter_app_meta.server.reports.incidents import Incidents

Json = dict[str, Any]

SECRET = "hunter2"
HIDDEN = (
    *("execute_input", "execute_reply", "comm_reply", "comm_msg_reply", "input_request", "debug_event", "debug_reply"),
    *("iopub_welcome", "history_reply", "complete_reply", "inspect_reply", "shutdown_reply", "usage_reply", "no_such"),
)
CONTENT: dict[str, Json] = {
    "status": {"execution_state": "idle"},
    "stream": {"name": "stdout", "text": "printed"},
    "display_data": {"data": {"text/plain": "shown"}, "metadata": {}, "transient": {"display_id": "d"}},
    "update_display_data": {"data": {"text/plain": "shown"}, "metadata": {}, "transient": {"display_id": "d"}},
    "execute_result": {"data": {"text/plain": "shown"}, "metadata": {}, "execution_count": 1},
    "clear_output": {"wait": True},
    "comm_open": {"comm_id": "c", "target_name": "jupyter.widget", "data": {"state": {"value": 1}}},
    "comm_msg": {"comm_id": "c", "data": {"method": "update", "state": {"value": 1}}},
    "comm_close": {"comm_id": "c", "data": {}},
    "comm_info_reply": {"status": "ok", "comms": {"c": {"target_name": "jupyter.widget"}}},
    "kernel_info_reply": {"status": "ok", "protocol_version": "5.3", "banner": "Python"},
}
ERROR = {"ename": "ValueError", "evalue": SECRET, "traceback": ["Traceback (most recent call last):", SECRET]}
STDERR = {"name": "stderr", "text": SECRET}


@pytest.fixture
def session() -> Session:
    """A kernel's session."""
    return Session(key=b"key", username="the-account")


@pytest.fixture
def outgoing(session: Session) -> Outgoing:
    """What one kernel's messages show."""
    incidents = Incidents(logging.getLogger("test"))
    incidents.begin("kernel", "page.ipynb", python=True)
    return Outgoing("kernel", incidents, session)


def both(outgoing: Outgoing, session: Session, msg_type: str, content: Json, **more: Any) -> list[Json | None]:
    """Return what is shown of a message in its packed and in its unpacked form."""
    parent = session.msg("comm_msg", {"data": {}})
    message = session.msg(msg_type, content, parent=parent, **more)
    parts = session.serialize(message)[2:]
    packed = outgoing.parts([*parts, b"buffer"])
    if packed is None:
        return [None, outgoing.message({**message, "buffers": []})]
    assert packed[4:] == [b"buffer"]
    names = ("header", "parent_header", "metadata", "content")
    unpacked: Json = {name: json.loads(part) for name, part in zip(names, packed[:4], strict=True)}
    return [unpacked, outgoing.message({**message, "buffers": []})]


def test_each_listed_type_is_tested() -> None:
    """The list and these tests are one."""
    assert SHOWN.keys() == {*CONTENT, "error"}


@pytest.mark.parametrize("msg_type", HIDDEN)
def test_other_types_stay(outgoing: Outgoing, session: Session, msg_type: str) -> None:
    """Sources, replies to code, input requests and unknown message types are not shown."""
    assert both(outgoing, session, msg_type, {"code": SECRET, **ERROR}) == [None, None]


@pytest.mark.parametrize("msg_type", CONTENT)
def test_listed_types_pass_with_listed_fields(outgoing: Outgoing, session: Session, msg_type: str) -> None:
    """What the author shows passes as it is; who runs the kernel does not."""
    for shown in both(outgoing, session, msg_type, CONTENT[msg_type]):
        assert shown is not None and shown["content"] == CONTENT[msg_type]
        assert shown["header"]["msg_type"] == msg_type and shown["parent_header"]["msg_id"]
        assert "the-account" not in str(shown)


@pytest.mark.parametrize("msg_type", ["status", "stream", "clear_output", "comm_info_reply", "kernel_info_reply"])
def test_other_fields_stay(outgoing: Outgoing, session: Session, msg_type: str) -> None:
    """A failed reply has no word of why, and metadata is for servers."""
    content = {**CONTENT[msg_type], **ERROR, "payload": [SECRET], "user_expressions": {"x": SECRET}}
    for shown in both(outgoing, session, msg_type, content, metadata={"engine": SECRET}):
        assert shown is not None and shown["content"] == CONTENT[msg_type] and SECRET not in str(shown)


def test_metadata_of_comms_passes(outgoing: Outgoing, session: Session) -> None:
    """Widgets send their protocol's version there; a stamp is for kernels."""
    metadata = {"version": "2.1.0", "app_meta": SECRET}
    for shown in both(outgoing, session, "comm_open", CONTENT["comm_open"], metadata=metadata):
        assert shown is not None and shown["metadata"] == {"version": "2.1.0"}


def test_errors_become_an_id(outgoing: Outgoing, session: Session) -> None:
    """An unhandled exception is told, on stderr too; the rest is not."""
    task = {"name": "stderr", "text": f"Task exception was never retrieved\n{SECRET}"}
    for msg_type, content in (("error", ERROR), ("stream", task)):
        for shown in both(outgoing, session, msg_type, content):
            assert shown is not None and shown["header"]["msg_type"] == "error" and SECRET not in str(shown)
            assert shown["content"]["evalue"].startswith("Something went wrong (E-")
    assert both(outgoing, session, "stream", STDERR) == [None, None]
    assert both(outgoing, session, "stream", {"text": SECRET}) == [None, None]


@pytest.mark.parametrize("where", ["state", "states", "deep"])
def test_outputs_in_a_widgets_state_are_judged(outgoing: Outgoing, session: Session, where: str) -> None:
    """Errors and stderr stay, at the places that buffers are named by; what is displayed passes."""
    shown_output = {"output_type": "display_data", "data": {"text/plain": "shown"}, "metadata": {}}
    outputs = [{"output_type": "stream", **STDERR}, {"output_type": "error", **ERROR}, shown_output]
    state = {"outputs": outputs}
    data: Json = {"state": state} if where == "state" else {"states": {"w": {"state": state}}}
    data = {"custom": [[{"x": data}]]} if where == "deep" else data
    for shown in both(outgoing, session, "comm_msg", {"comm_id": "c", "data": data}):
        assert shown is not None and SECRET not in str(shown)
        text = json.dumps(shown["content"])
        assert text.index("stdout") < text.index("Something went wrong") < text.index("shown")


def test_own_words_in_a_widget_pass(outgoing: Outgoing, session: Session) -> None:
    """What a page got, and wrote into its widget, comes back with the same id."""
    (error, _) = both(outgoing, session, "error", ERROR)
    assert error is not None
    data = {"state": {"outputs": [{"output_type": "error", **error["content"]}]}}
    for shown in both(outgoing, session, "comm_msg", {"comm_id": "c", "data": data}):
        assert shown is not None and shown["content"]["data"] == data
    forged = {"output_type": "error", **error["content"], "traceback": [SECRET]}
    for shown in both(outgoing, session, "comm_msg", {"comm_id": "c", "data": {"state": {"outputs": [forged]}}}):
        assert shown is not None and SECRET not in str(shown)


# The connection


@pytest.fixture
def connection() -> Any:
    """A connection of jupyter_server's own class, as pages have it, with no socket and no kernel."""
    log = logging.getLogger("test")
    context = StampingContext(Policy(), Origins(lambda kernel_id: True), log, b"secret")
    return page_connection(ZMQChannelsWebsocketConnection, context, Incidents(log))(log=log, session=Session())


@pytest.mark.parametrize("message", [[b"{}"] * 4, {"header": {"msg_type": "status"}, "content": {}}])
def test_a_connection_that_is_not_prepared_shows_nothing(connection: Any, message: Any) -> None:
    """What decides about messages is not there yet: jupyter_server would fail at once, for want of a socket."""
    connection._on_zmq_reply(None, message)


@pytest.mark.parametrize("message", [[b"no JSON"] * 4, {"content": {}}])
def test_a_message_that_cannot_be_read_is_not_shown(
    connection: Any, outgoing: Outgoing, caplog: pytest.LogCaptureFixture, message: Any
) -> None:
    """The log says of which kind the error is, and nothing of the message."""
    connection._app_meta_outgoing = outgoing
    connection._on_zmq_reply(None, message)
    assert caplog.messages[0].startswith("A kernel's message was not shown: it cannot be read (")


def test_warnings_of_the_server_stay_out_of_pages(connection: Any, caplog: pytest.LogCaptureFixture) -> None:
    """jupyter_server would write them into the page as if the kernel had printed them."""
    connection.write_stderr("The rate is exceeded.\nc.Server.option", {})
    assert caplog.messages == ["A page does not get all of its kernel's output: The rate is exceeded."]
