"""Which language a visitor prefers, by the header ``accept-language``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_app_meta import app_meta, locales
from jupyter_app_meta.testing import fake_request


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("de-CH,de;q=0.9,en;q=0.8", "de-CH"),
        ("en;q=0.5, fr;q=0.9", "fr"),
        ("fr;q=0.9, en;q=0.9", "fr"),
        ("*, de;q=0.1", "de"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("EN-us", "en-US"),
        ("de;q=0, en;q=0.001", "en"),
        ("de; q = 0.3, it ; q=1.0", "it"),
        ("de;q=1.5, en;q=x, fr;level=1", "de"),
        ("de_CH, <script>, " + "a" * 40, None),
        (" , ;, ;;q=1", None),
        ("x," * 60 + "de", None),
        ("*", None),
        ("", None),
        (None, None),
    ],
)
def test_language_with_the_highest_weight(header: str | None, expected: str | None) -> None:
    """The first of those with the highest weight counts; what is not a language does not."""
    assert locales.preferred(header) == expected


@given(st.text())
def test_any_header_has_a_language_or_none(header: str) -> None:
    """No header raises an error, and each answer has the form of a tag."""
    found = locales.preferred(header)
    assert found is None or (locales.is_tag(found) and locales.spelled(found) == found)


def test_request_has_a_locale() -> None:
    """It is an attribute and an item; without the header it is None."""
    with fake_request(headers={"Accept-Language": "fr;q=0.2, de-ch"}):
        request = app_meta().request
        assert request and request.locale == request["locale"] == "de-CH"
    with fake_request(headers={"accept-language": "fr"}, locale="de-CH") as meta:
        assert meta.request and meta.request.locale == meta.request.headers["accept-language"] == "de-CH"
    assert fake_request().meta.request["locale"] is None  # type: ignore[index]  # a fake has a request
    with pytest.raises(TypeError, match="language such as"):
        fake_request(locale="de\r\nx: y")
