"""One distinct value in each credential: none of them is found on the kernel's side."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from harness import Server, Visitor, serving

RUN = uuid.uuid4().hex[:12]

HEADERS = """
Authorization Proxy-Authorization X-XSRFToken X_XSRFTOKEN X-CSRF-Token x-auth-token X-Access-Token
X_Forwarded_Access_Token X-Amz-Security-Token X-JWT-Assertion x-goog-iap-jwt-assertion
Cf-Access-Jwt-Assertion X-Client-Secret X-API-Key X_Api_Key apikey X-Client-Cert X-SSL-Client-Cert
X-Forwarded-Client-Cert Set-Cookie SET_COOKIE X-Forwarded-User x_forwarded_user Remote-User
REMOTE_USER X-Remote-User X-Auth-Request-Email X-Forwarded-For Forwarded X-Real-IP-Copy
X-MS-Client-Principal
""".split()
COOKIES = """
session SESSION my_session sess PHPSESSID JSESSIONID connect.sid sid access_token AccessToken auth
__Host-auth __Host-id __Secure-id jwt my-jwt csrftoken XSRF-TOKEN remember_me RememberMe
jupyterhub-user-alice jupyterhub-hub-login jupyterhub-session-id service-dash username-old-host
_oauth2_proxy _oauth2_proxy_0 AWSELB AWSELBCORS CF_Authorization cf_clearance
""".split()
QUERY = """
token TOKEN Token access_token access-token access.token accessToken _xsrf xsrf code state ticket
sig signature key my_key apikey api_key API-KEY password secret client_secret session_state jwt auth
SAMLResponse SAMLRequest samlart X-Amz-Signature x-amz-credential X_Amz_Date X-Goog-Signature
user%5Btoken%5D %74oken
""".split()


def canary(kind: str, position: int) -> str:
    """Return a value that stands for one secret; test code and kernels never have it otherwise."""
    return f"CANARY{RUN}{kind}{position:03d}"


PATTERN = re.compile(f"CANARY{RUN}[a-z]+[0-9]{{3}}".encode())


def visit(server: Server) -> tuple[Visitor, str]:
    """Return a visitor who has all the secrets, and the query that has the others."""
    headers = [(name, canary("header", number)) for number, name in enumerate(HEADERS)]
    visitor = server.visitor()
    for number, name in enumerate(COOKIES):
        visitor.http.cookies.set(name, canary("cookie", number))
    query = "".join(f"&{name}={canary('query', number)}" for number, name in enumerate(QUERY))
    nested = f"&next=%2Flab%3Ftoken%3D{canary('nested', 0)}%26x%3D1&u=http%3A%2F%2Fa%3A{canary('nested', 1)}%40host%2F"
    twice = f"&next2=%252Flab%253Ftoken%253D{canary('nested', 2)}&r=%23access_token%3D{canary('nested', 3)}"
    visitor.headers = [*visitor.headers, *headers]
    return visitor, query + nested + twice


SHOW = """
from jupyter_app_meta import app_meta
import json
from IPython.display import display
m = app_meta()
assert m.request is not None
display(m, m.request, m.request.headers, m.request.cookies, m.request.query_params, m.request.url, m.user)
print(repr(m), str(m.request), m.request.headers.items(), dict(m.request.cookies))
print(str(m.request.url), m.request.redacted)
print(json.dumps(m.user), m.request.base_url)
m
"""


CELLS = (SHOW, "%app_meta", "%app_meta --json", "%app_meta cookies", "%app_meta headers", "m.request.nothing")


def memory(pid: int) -> set[bytes]:
    """Return the secrets that are anywhere in a process's memory: frames, objects, environment, all."""
    found: set[bytes] = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as data:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw") or "[v" in line:
                continue
            begin, end = (int(number, 16) for number in span.split("-"))
            try:
                data.seek(begin)
                found.update(PATTERN.findall(data.read(end - begin)))
            except (OSError, ValueError, OverflowError):
                continue
    return found


def tour(server: Server) -> tuple[bytes, set[bytes]]:
    """Do everything that shows a request, with all the secrets; return the outputs and the kernel's memory."""
    visitor, query = visit(server)
    kernel = visitor.start_kernel()
    outputs: list[str] = []
    pid = 0
    for format in ("text", "binary", "v1"):
        socket = visitor.connect(kernel, format=format, query=query)
        outputs += [str(socket.run(code).messages) for code in CELLS]
        pid = int(socket.run("import os; print(os.getpid())").text)
    return "".join(outputs).encode(), memory(pid)


def test_no_secret_reaches_the_kernel_or_a_log(server: Server, tmp_path: Path) -> None:
    """No credential is in the kernel's memory, in an output, or in a log line that a plain server does not have."""
    output, in_memory = tour(server)
    assert b"headers.authorization" in output and b"query.token" in output
    assert PATTERN.findall(output) == []
    assert in_memory == set()
    with serving(tmp_path, enabled=False, debug=True) as plain:
        visitor, query = visit(plain)
        visitor.connect(visitor.start_kernel(), query=query).run("1")
        known = set(PATTERN.findall(plain.log.encode()))
    assert set(PATTERN.findall(server.log.encode())) <= known


def test_the_search_finds_what_is_there(server: Server) -> None:
    """The search through a kernel's memory finds a value that a cell was given."""
    visitor = server.visitor()
    socket = visitor.connect(visitor.start_kernel())
    pid = int(socket.run(f"import os; x = {canary('given', 1)!r}; print(os.getpid())").text)
    assert canary("given", 1).encode() in memory(pid)
