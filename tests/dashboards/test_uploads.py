"""How much a page may upload: the option, and what is said of more."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pytest
from harness import Server
from stage import Opened, eventually, staging, visit, write

UPLOAD = """import ipywidgets
upload, label = ipywidgets.FileUpload(), ipywidgets.Label("nothing")
upload.observe(lambda change: setattr(label, "value", f"got {len(change.new[0].content)}"), "value")
display(ipywidgets.VBox([upload, label]))
print("upload", upload.comm.comm_id, "label", label.comm.comm_id)"""

APP = """app = create_app(max_upload={limit}).with_app(path="/", root="upload.ipynb")"""
MB = 1024 * 1024


@pytest.fixture(scope="module", params=[12 * MB, MB], ids=["12MB", "1MB"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    """A server whose pages may upload so much, and how much that is."""
    home = tmp_path_factory.mktemp("uploads")
    write(home / "root" / "upload.ipynb", UPLOAD)
    with staging(home, APP.format(limit=request.param)) as server:
        yield server, request.param


def upload(opened: Opened, size: int) -> str:
    """Upload a file of this size and return what its callback said; raises ConnectionError with the close code."""
    found = re.search(r"upload ([0-9a-f]{32}) label ([0-9a-f]{32})", opened.html)
    assert found, opened.html[-2000:]
    socket = opened.connect()
    file = {"name": "a.bin", "type": "", "size": size, "last_modified": 0, "content": None}
    data = {"method": "update", "state": {"value": [file]}, "buffer_paths": [["value", 0, "content"]]}
    message = socket.message("comm_msg", {"comm_id": found[1], "data": data})
    message["buffers"] = [b"\0" * size]
    socket.send(message)

    def said(message: dict[str, object]) -> bool:
        content = message["content"]
        return isinstance(content, dict) and "got" in str(content.get("data", ""))

    return str(socket.until(said)[-1]["content"]["data"]["state"]["value"])


def test_file_of_the_limit_is_taken(server: tuple[Server, int]) -> None:
    """A file as large as the option says reaches the callback, whole."""
    opened = visit(server[0], None)
    assert upload(opened, server[1]) == f"got {server[1]}"
    opened.close()


def test_larger_file_is_refused_with_its_code_and_a_word_in_the_log(server: tuple[Server, int]) -> None:
    """The browser learns 1009, however much it has sent by then, and the log names the option."""
    opened = visit(server[0], None)
    with pytest.raises(ConnectionError) as refused:
        upload(opened, server[1] + 3 * MB)
    assert struct.pack("!H", 1009) in str(refused.value).encode("latin-1", "replace") or r"\x03\xf1" in str(
        refused.value
    )
    eventually(lambda: "upload.ipynb: a message of more than" in server[0].log)
    assert "max_upload allows more" in server[0].log
    opened.close()
