"""Real servers, visitors with cookie jars, and kernel sockets in all three frame formats."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import re
import signal
import socket as sockets
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import psutil
import websocket
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

V1 = "v1.kernel.websocket.jupyter.org"
TOKEN = "the-server-token"
HERE = Path(__file__).parent

AWARE = "app-meta-test"
BARE = "bare-test"

Json = dict[str, Any]
Format = Literal["text", "binary", "v1"]
FORMATS: tuple[Format, ...] = ("text", "binary", "v1")

WHO = (
    "import json; from jupyter_app_meta import app_meta; m = app_meta()\n"
    "print(json.dumps({'user': m.user, 'mode': m.mode, 'session': dict(m.session),"
    " 'url': m.request and str(m.request.url), 'query': m.request and dict(m.request.query_params),"
    " 'via': m.request and m.request.via, 'cookies': m.request and dict(m.request.cookies),"
    " 'headers': m.request and dict(m.request.headers.items()),"
    " 'redacted': m.request and list(m.request.redacted),"
    " 'truncated': m.request and list(m.request.truncated)}))"
)


OTHERS = ("jupyter_lsp", "jupyterlab", "jupyterlab_jupytext", "notebook", "voila.server_extension")
"""Extensions that take longer to import than all the rest: a test that needs one enables it."""

PORTS = range(10_081, 32_000)
"""Below those that systems give to outgoing connections, which might take one before its server does.

Above 10080, the last one to which browsers refuse to go.
"""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of httpx: by default each reads all certificate authorities, in 40 ms. No address here is https."""

T = TypeVar("T")


def written(folder: Path) -> dict[str, bytes]:
    """Return what the files below a folder hold, but not those that go meanwhile, such as a database's journal."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                found[path.name] = found.get(path.name, b"") + path.read_bytes()
    return found


def free_port() -> int:
    """Return a free TCP port, which no other test gets while this process lives."""
    while True:
        port = random.choice(PORTS)
        with sockets.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            if port not in _claimed:
                _claimed.add(port)
                return port


_claimed: set[int] = set()

CLAIMS = Path(tempfile.gettempdir(), f"app-meta-ports-{os.getuid()}")
"""The file of claimed ports. Its path is found here, because a test may have changed the temporary directory."""


@cache
def _claims() -> int:
    """Open the file in which each process of the tests locks a byte for each port that is its own."""
    return os.open(CLAIMS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def eventually(wanted: Callable[[], T], timeout: float = 60) -> T:
    """Return what ``wanted`` answers, as soon as that is not false."""
    deadline, pause = time.monotonic() + timeout, 0.02
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"not within {timeout} seconds"
        time.sleep(pause)
        pause = min(1.5 * pause, 0.25)  # to look at processes costs what others need
    return found


class Server:
    """A jupyter server in a process of its own, its log in a file."""

    def __init__(self, home: Path, url: str, process: subprocess.Popen[bytes], token: str) -> None:
        self.home, self.url, self.process, self.token = home, url, process, token
        self.log_file = home / "server.log"
        self.closing = ExitStack()

    @property
    def log(self) -> str:
        """Everything that the server and its kernels wrote so far."""
        return self.log_file.read_text(errors="replace")

    def visitor(self, *, token: bool = True, **options: Any) -> Visitor:
        """Return a new browser, logged in by token unless told otherwise."""
        visitor = Visitor(self, **options)
        self.closing.callback(visitor.http.close)
        if token and self.token:
            visitor.get("/login", params={"token": self.token})
        return visitor

    def wait(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log}")
            try:
                httpx.get(f"{self.url}api", timeout=5, verify=NO_TLS)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(self.log)

    def kill(self) -> None:
        """End the server and its kernels at once."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in children:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """End the server and its kernels, and close what its visitors left open."""
        self.closing.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def without_kernels(log: str) -> str:
    """Drop what kernels cry: when they end, threads and handlers of ipykernel may meet closed sockets.

    That is in Python's own format of logs or under the name of the kernel's application, which no server here
    uses, up to the next record of a server.
    """
    return re.sub(r"(?ms)^(?:(?:ERROR|CRITICAL):|\[IPKernelApp\]).*?(?=^[A-Z]+ |^\[|\Z)", "", log)


def kernelspec(home: Path, name: str, *arguments: str, executable: str = sys.executable, **extra: Any) -> None:
    """Write a kernelspec into a Jupyter data directory."""
    folder = home / "data" / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    argv = [executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *arguments]
    spec = {"argv": argv, "display_name": name, "language": "python", "metadata": {"debugger": True}, **extra}
    (folder / "kernel.json").write_text(json.dumps(spec))


@contextmanager
def serving(
    home: Path,
    *,
    config: str = "",
    arguments: Sequence[str] = (),
    token: str = TOKEN,
    enabled: bool = True,
    debug: bool = False,
    command: Sequence[str] = ("-m", "jupyter_server"),
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
    port: int | None = None,
) -> Iterator[Server]:
    """Run a server in ``home`` with a config file of this text; stop it in the end."""
    kernelspec(home, AWARE, "--ext=jupyter_app_meta")
    kernelspec(home, BARE)
    for folder in ("config", "root"):
        (home / folder).mkdir(exist_ok=True)
    preamble = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        f"c.ServerApp.jpserver_extensions = {{'jupyter_app_meta': {enabled}}}\n"
        f"c.IdentityProvider.token = {token!r}\n"
        "c.ServerApp.reraise_server_extension_failures = True\n"
        "c.ServerApp.open_browser = False\nc.ServerApp.allow_root = True\nc.ServerApp.port_retries = 0\n"
        f"c.MultiKernelManager.default_kernel_name = {AWARE!r}\n"
        "c.KernelManager.transport = 'ipc'\n"  # a free port may be taken before the kernel takes it
    )
    for name in ("jupyter_server_config.py", "jupyter_kernel_gateway_config.py"):
        (home / "config" / name).write_text(preamble + config)
    port = port or free_port()
    argv = [*command, f"--port={port}", *(["--debug"] if debug else []), *arguments]
    env = {"JUPYTER_CONFIG_PATH": str(without_others(home)), **(env or {})}
    with launched(home, argv, f"http://127.0.0.1:{port}/", token=token, env=env, python=python) as server:
        yield server


def without_others(home: Path) -> Path:
    """Return a folder of configuration that disables the other extensions, and comes before the environment's own."""
    folder = home / "etc" / "jupyter_server_config.d"
    folder.mkdir(parents=True, exist_ok=True)
    config = {"ServerApp": {"jpserver_extensions": dict.fromkeys(OTHERS, False)}}
    (folder / "others.json").write_text(json.dumps(config))
    return folder.parent


@contextmanager
def unheard(root: Path, *routes: Any) -> Iterator[Any]:
    """Run a real server application in this process, which does not listen, with these routes."""
    from jupyter_server.serverapp import ServerApp

    app = ServerApp(log_level=50, root_dir=str(root), allow_root=True)
    app.initialize([], find_extensions=False, new_httpserver=False)
    app.web_app.add_handlers(".*", list(routes))
    try:
        yield app
    finally:
        app.clear_instance()


@contextmanager
def launched(
    home: Path,
    argv: Sequence[str],
    url: str,
    *,
    token: str = "",
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Server]:
    """Run a server by these arguments of Python, in ``home/root``, until it answers at ``url``; stop it in the end."""
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [python, *argv],
            cwd=home / "root",
            env=_environment(home, env or {}),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    server = Server(home, url, process, token)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def runtime(home: Path) -> Path:
    """Return a home's folder for sockets: their names may not be as long as what pytest's folders make of them."""
    short = os.environ.get("JUPYTER_RUNTIME_DIR")  # which the benchmarks, whose homes are short, do not set
    return Path(short, hashlib.sha256(str(home).encode()).hexdigest()[:8]) if short else home / "runtime"


def python_path(*folders: Path) -> str:
    """Return the PYTHONPATH of a server whose kernels need no debugger, with these folders."""
    hiding = os.environ.get("APP_META_UNDEBUGGED")  # which the benchmarks do not set
    return os.pathsep.join(filter(None, [*map(str, folders), hiding, os.environ.get("PYTHONPATH")]))


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "COV_"))}
    return {
        **kept,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime(home)),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": python_path(),
        **more,
    }


class Visitor:
    """One person's browser: a cookie jar and headers, over HTTP and kernel sockets."""

    def __init__(self, server: Server, *, cookies: Mapping[str, str] | None = None, headers: Any = None) -> None:
        self.server = server
        self.headers = list((headers or {}).items()) if not isinstance(headers, list) else headers
        self.http = httpx.Client(
            base_url=server.url, follow_redirects=True, timeout=120, headers=self.headers, verify=NO_TLS
        )
        for name, value in (cookies or {}).items():
            self.http.cookies.set(name, value)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a path of the server."""
        return self.http.get(path, **options)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Call the API as a page of the server does, with the XSRF header."""
        if "_xsrf" not in self.http.cookies:
            self.get("/login")
        headers = {"X-XSRFToken": self.http.cookies.get("_xsrf", ""), **options.pop("headers", {})}
        return self.http.request(method, path, json=body, headers=headers, **options)

    def start_kernel(self, name: str = AWARE) -> str:
        """Start a kernel and return its id."""
        response = self.call("POST", "/api/kernels", {"name": name})
        response.raise_for_status()
        return str(response.json()["id"])

    def cookie_line(self) -> str:
        """The Cookie header that this browser would send."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies.jar)

    def connect(
        self,
        kernel_id: str,
        session_id: str | None = None,
        format: Format = "v1",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> Socket:
        """Open a kernel socket with this browser's cookies and headers."""
        session_id = session_id or uuid.uuid4().hex
        base = self.server.url.replace("http://", "ws://")
        lines = [f"{name}: {value}" for name, value in [*self.headers, *headers]]
        origin = self.server.url.rstrip("/")
        connection = websocket.create_connection(
            f"{base}api/kernels/{kernel_id}/channels?session_id={session_id}{query}",
            header=lines,
            cookie=self.cookie_line() or None,
            origin=origin,
            subprotocols=[V1] if format == "v1" else None,
            timeout=60,
        )
        self.server.closing.callback(connection.shutdown)
        return Socket(connection, session_id, format)


class Socket:
    """A kernel socket: packs and unpacks messages in one of the three frame formats."""

    def __init__(self, connection: websocket.WebSocket, session_id: str, format: Format) -> None:
        self.connection, self.session_id, self.format = connection, session_id, format
        self.username = "anybody"
        self.seen: list[Json] = []

    def message(self, msg_type: str, content: Json, metadata: Any = None, **header: Any) -> Json:
        """Return a message as a browser writes it."""
        return {
            "header": {
                "msg_id": uuid.uuid4().hex,
                "msg_type": msg_type,
                "session": self.session_id,
                "username": self.username,
                "date": "2026-01-01T00:00:00.000Z",
                "version": "5.3",
                **header,
            },
            "parent_header": {},
            "metadata": {} if metadata is None else metadata,
            "content": content,
            "buffers": [],
        }

    def send(self, message: Json, channel: str = "shell", raw_metadata: str | None = None) -> str:
        """Send a message; ``raw_metadata`` is JSON text put in place of the packed metadata."""
        self.send_frame(pack(message, channel, self.format, raw_metadata))
        return str(message["header"]["msg_id"])

    def send_frame(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        if isinstance(frame, bytes):
            self.connection.send_binary(frame)
        else:
            self.connection.send(frame)

    def receive(self, timeout: float = 60) -> Json:
        """Return the next message from the server; the server's pings do not count."""
        deadline, opcode = time.monotonic() + timeout, websocket.ABNF.OPCODE_PING
        while opcode not in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
            self.connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                opcode, frame = self.connection.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException as error:
                raise TimeoutError("no message came") from error
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError(f"closed by the server: {frame.data!r}")
        message = unpack(frame.data, binary=opcode == websocket.ABNF.OPCODE_BINARY, format=self.format)
        self.seen.append(message)
        return message

    def until(self, wanted: Callable[[Json], bool], timeout: float = 60) -> list[Json]:
        """Return what arrives up to the first wanted message."""
        deadline, got = time.monotonic() + timeout, []
        while time.monotonic() < deadline:
            got.append(self.receive(max(0.05, deadline - time.monotonic())))
            if wanted(got[-1]):
                return got
        raise TimeoutError(f"not among {[message['header']['msg_type'] for message in got]}")

    def run(
        self, code: str, metadata: Any = None, channel: str = "shell", timeout: float = 60, **options: Any
    ) -> Result:
        """Run code and return what came of it."""
        raw = options.pop("raw_metadata", None)
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = self.message("execute_request", {**content, "stop_on_error": True}, metadata, **options)
        return self.collect(self.send(message, channel, raw), timeout)

    def collect(self, msg_id: str, timeout: float = 60) -> Result:
        """Return what comes of a message that was sent: until its reply and its idle status."""
        done: set[str] = set()

        def finished(message: Json) -> bool:
            if message["parent_header"].get("msg_id") != msg_id:
                return False
            if message["header"]["msg_type"].endswith("_reply"):
                done.add("reply")
            if message["header"]["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                done.add("idle")
            return len(done) == 2

        messages = self.until(finished, timeout)
        return Result([message for message in messages if message["parent_header"].get("msg_id") == msg_id])

    def who(self, **options: Any) -> Json:
        """Return what a cell sees of its request."""
        seen: Json = json.loads(self.run(WHO, **options).text)
        return seen

    def close(self) -> None:
        """Close the socket as a browser tab does."""
        self.connection.close(timeout=2)


class Result:
    """The messages that one request caused."""

    def __init__(self, messages: list[Json]) -> None:
        self.messages = messages

    def of(self, msg_type: str) -> list[Json]:
        """The contents of the messages of one type."""
        return [message["content"] for message in self.messages if message["header"]["msg_type"] == msg_type]

    @property
    def text(self) -> str:
        """What was printed, or the error."""
        errors = [f"{error['ename']}: {error['evalue']}" for error in self.of("error")]
        return "".join(stream["text"] for stream in self.of("stream")) + "".join(errors)


def pack(message: Json, channel: str, format: Format, raw_metadata: str | None = None) -> str | bytes:
    """Return the frame of a message."""
    if format == "v1":
        parts = [json.dumps(message[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
        if raw_metadata is not None:
            parts[2] = raw_metadata.encode()
        frame: bytes = serialize_msg_to_ws_v1([*parts, *message["buffers"]], channel)
        return frame
    plain = {**message, "channel": channel, "metadata": "@metadata@" if raw_metadata else message["metadata"]}
    buffers = plain.pop("buffers")
    text = json.dumps(plain).replace('"@metadata@"', raw_metadata or "")
    if format == "text":
        return text
    return _binary(text.encode(), buffers)


def _binary(text: bytes, buffers: list[bytes]) -> bytes:
    """Lay out a legacy binary frame: count, offsets, JSON text, buffers."""
    pieces = [text, *buffers]
    offsets, position = [], 4 * (len(pieces) + 1)
    for piece in pieces:
        offsets.append(position)
        position += len(piece)
    head = b"".join(number.to_bytes(4, "big") for number in (len(pieces), *offsets))
    return head + b"".join(pieces)


def unpack(data: bytes, *, binary: bool, format: Format) -> Json:
    """Return the message of a frame, with its channel."""
    if format == "v1":
        channel, parts = deserialize_msg_from_ws_v1(data)
        names = ("header", "parent_header", "metadata", "content")
        message = {name: json.loads(part) for name, part in zip(names, parts, strict=False)}
        return {**message, "buffers": parts[4:], "channel": channel}
    if binary:
        unpacked: Json = deserialize_binary_message(data)
        return unpacked
    loaded: Json = json.loads(data)
    return loaded
