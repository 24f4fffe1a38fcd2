"""What a text from outside may do to a log: be shown, on one line, without credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta.server.reports import logs
from jupyter_app_meta.server.reports.complaints import LONGEST, complaint
from jupyter_app_meta.server.reports.journal import WIDTH, Journal

ODD = "a\nb\r\x1b[31mc\x9b2Jd\u2028e\u2029f\u202eg\ud800h\x00i\x85j\u200bk\U000e0001l\x7f"
SHOWN = r"a\nb\r\x1b[31mc\x9b2Jd\u2028e\u2029f\u202eg\ud800h\x00i\x85j\u200bk\U000e0001l\x7f"


class Unfit:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("no text")

    __repr__ = __str__


class Forger:
    """An object whose text has a line break."""

    def __repr__(self) -> str:
        """Return two lines."""
        return "x\n[I] forged"


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, StringIO]]:
    """A guarded logger, and what it writes."""
    log, stream = logging.getLogger("jupyter_app_meta.tests.logs"), StringIO()
    handler = logging.StreamHandler(stream)
    log.propagate = False
    log.addHandler(handler)
    logs.guard(log)
    yield log, stream
    log.removeHandler(handler)


def test_odd_characters_are_escaped() -> None:
    """Controls (C1 too), line separators, bidi, invisible characters and surrogates are shown as escapes."""
    assert logs.printable(ODD) == SHOWN
    assert logs.printable("Ångström, 東京, Ольга 🎈") == "Ångström, 東京, Ольга 🎈"


@pytest.mark.parametrize("value", [7, None, b"\n", ValueError("a\nb"), Unfit(), ["\n"]])
def test_anything_is_printable(value: object) -> None:
    """Any value is shown on one line."""
    assert logs.printable(value).isprintable()


@given(st.text(st.characters(codec=None)), st.integers(1, 300))
def test_printable_is_bounded(text: str, limit: int) -> None:
    """A shown text is printable and never longer than its limit; a short plain one is itself."""
    shown = logs.printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert shown == text or not text.isprintable() or len(text) > limit


@pytest.mark.parametrize(
    ("message", "args", "line"),
    [
        ("from %s", (ODD,), f"from {SHOWN}"),
        ("from %r", ("a\nb",), r"from 'a\nb'"),
        (f"from {ODD}", (), f"from {SHOWN}"),
        ("%(who)s", ({"who": "a\nb"},), r"a\nb"),
        ("%d of %5.1f", (1, 2.25), "1 of   2.2"),
        ("%s", (Forger(),), r"x\n[I] forged"),
        ("%r", (Forger(),), r"x\n[I] forged"),
        ("%d", ("a\nb",), r"%d ('a\nb',)"),
        ("%s", (Unfit(),), "<Unfit that cannot be shown (RuntimeError)>"),
        ("two\nlines of %s", ("ours\n",), "two\n    lines of ours\\n"),
        ("%s", (logs.Lines("one\ntwo\x1b"),), "one\n    two\\x1b"),
    ],
)
def test_record(written: tuple[logging.Logger, StringIO], message: str, args: tuple[Any, ...], line: str) -> None:
    """A record is one line but for what the code itself wrote, and is never lost."""
    log, stream = written
    log.warning(message, *args)
    assert stream.getvalue() == line + "\n"


def test_traceback_stays_readable(written: tuple[logging.Logger, StringIO]) -> None:
    """A traceback keeps its lines; what the exception says cannot pass for a record."""
    log, stream = written
    try:
        raise ValueError("first\n[I] forged \x1b[1m /login?token=CANARY-1234")
    except ValueError:
        log.exception("It failed")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "It failed"
    assert lines[1] == "Traceback (most recent call last):"
    assert "ValueError: first" in lines[-2]
    assert lines[-1] == r"    [I] forged \x1b[1m /login"
    assert "CANARY" not in stream.getvalue()


SECRETS = [
    "GET /login?token=CANARY (127.0.0.1)",
    "HTTPServerRequest(method='GET', uri='/a?x=1&access_token=CANARY', version='HTTP/1.1')",
    "referer=https://user:CANARY@host/a?next=%2Fb%3Ftoken%3DCANARY",
    "{'Authorization': 'token CANARY'}",
    "Cookie: session=CANARY; b=CANARY",
    "called with Bearer CANARY12345",
    "at https://host/reset/CANARY1234567890abcdefghijk?page=1",
]


@pytest.mark.parametrize("text", SECRETS)
def test_credentials_are_hidden(text: str) -> None:
    """URLs and headers in a text lose their credentials."""
    assert "CANARY" not in logs.without_secrets(text)


@pytest.mark.parametrize("text", SECRETS)
def test_credential_that_is_cut_leaves_no_half(text: str) -> None:
    """Wherever a text is cut, no beginning of its credential is shown: half of it would not look like one."""
    for limit in range(len(text)):
        shown = logs.without_secrets(logs.printable(text, limit)), logs.paragraph(text, limit)
        assert "CAN" not in "".join(shown), limit


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("x" * 100, 9, "xxxxxxxx…"),
        ("GET /a/b/report?x=1&y=2", 18, "GET /a/b/report…"),
        ("GET /a/b/report/c", 12, "GET /a/b/…"),
        ("of three words", 10, "of three …"),
    ],
)
def test_what_is_cut_keeps_what_is_no_credential(text: str, limit: int, shown: str) -> None:
    """Of a cut text as much is shown as cannot be half of a credential."""
    assert logs.printable(text, limit) == shown


@pytest.mark.parametrize("content", [{"name": "stderr"}, {"ename": "E", "evalue": ""}])
def test_long_traceback_that_is_cut_leaves_no_half(content: dict[str, Any]) -> None:
    """A kernel's text is cut before it is masked; what is left of it ends in front of the address."""
    text = "x" * (LONGEST - 20) + " postgres://user:CANARY@host/"
    found = complaint("error" if "ename" in content else "stream", {**content, "text": text, "traceback": [text]})
    assert found.text.endswith("x postgres:")


def test_record_of_a_long_text_has_no_half_of_a_credential(written: tuple[logging.Logger, StringIO]) -> None:
    """The limit of a record, of its arguments and of a line of a traceback are such cuts."""
    log, stream = written
    text, line = (f"{'x' * (limit - 20)} https://user:CANARY@host/" for limit in (logs.LIMIT, WIDTH))
    log.warning("%s", text)
    log.warning(text)
    Journal(log).write(logging.ERROR, "E", line, "")
    assert "CAN" not in stream.getvalue() and stream.getvalue().count("x https:…") == 3


@pytest.mark.parametrize(
    "text", ["give c.Serve.cookie_secret=…", "GET /a?page=2 (alice@127.0.0.1)", "the token is wrong", "a=b & c=d"]
)
def test_harmless_text_stays(text: str) -> None:
    """All else is shown as it is."""
    assert logs.without_secrets(text) == text


def test_credential_on_purpose(written: tuple[logging.Logger, StringIO]) -> None:
    """A server tells its own token once, because it wants to."""
    log, stream = written
    log.warning("http://localhost/?token=%s", "CANARY", extra=logs.AS_IT_IS)
    assert stream.getvalue() == "http://localhost/?token=CANARY\n"


def test_a_long_text_is_bounded(written: tuple[logging.Logger, StringIO]) -> None:
    """Nine megabytes that a visitor sends do not fill a disk."""
    log, stream = written
    log.warning("from %s", "\n" * 9_000_000)
    log.warning("x" * 9_000_000)
    try:
        raise ValueError("y" * 9_000_000)
    except ValueError:
        log.exception("It failed")
    assert len(stream.getvalue()) < 60_000
