"""What the form of a value says: whether it is a credential, an identifier, or plain.

1. A token of a known form is a credential in any place: a JWT, ``ghp_…``, ``AKIA…``, ``Bearer …``, a PEM key.
2. Long random text may be a token. UUIDs, commits and the ids of databases are random too, but they are not secrets, so
   they pass unless a name or a path says otherwise.
3. Each expression takes linear time, because visitors write these texts.
"""

from __future__ import annotations

import base64
import binascii
import re

RANDOM_LENGTH = 20
_SHORT = 7  # shorter pieces are the words and numbers of a slug

_PREFIXES = r"""
    gh[pousr]_ github_pat_ gl(?:pat|ptt|dt|rt|cbt|soat|imt|agent|oas|ft|ffct)- xox[abcdeoprs]- xoxe\. xapp- AIza
    ya29\. 1//0 GOCSPX- hf_ npm_ pypi- dop_v1_ doo_v1_ dor_v1_ dckr_(?:pat|oat)_ shp(?:at|ca|pa|ss)_ SG\. hv[sbr]\.
    whsec_ lin_(?:api|oauth)_ figd_ ntn_ secret_ PMAK- glsa_ glc_ sntry[su]_ sq0[a-z]{3}- tskey- nfp_ fm[12]_ rnd_
    gsk_ pplx- xai- r8_ ATATT3 ATCTT3 ATBB BBDC- CCIPAT_ pscale_(?:tkn|pw|oauth)_ ops_ey dp\.(?:pt|st|ct|sa)\.
    AGE-SECRET-KEY- amzn\.mws\. Atza\| EAAC[A-Za-z] (?:sk|pk|rk)_(?:live|test)_ sk-ant- sk-proj- sk-or-
    v[1-4]\.(?:local|public)\. key-(?=[0-9a-f]{30}) dapi(?=[0-9a-f]{30}) vk1\.a\. y0_ t1\. waka_ rubygems_ crates_
    cio pul- oy2 duffel_(?:live|test)_ shippo_(?:live|test)_ EZ[AT]K tfp_ nvapi- jina_ LTAI AQAAAA
""".split()
_AWS = r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{12,}"
_OPENAI = r"sk-(?=[A-Za-z-]{0,40}[0-9])[A-Za-z0-9_-]{16,}"
_JWT = r"ey[JIK][A-Za-z0-9_=-]{6,2000}\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=.-]*"
_TELEGRAM = r"[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"
_BEARER = r"[Bb]earer[\s+]+[A-Za-z0-9._~+/=-]{12,}"
_forms = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:{'|'.join(_PREFIXES)})[A-Za-z0-9_.=+/-]{{8,}}"
    rf"|{_AWS}|{_OPENAI}|{_JWT}|{_TELEGRAM}|{_BEARER})"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE"
)
_scheme = re.compile(r"\s*(?:bearer|dpop|negotiate|ntlm|aws4-hmac-sha256)\s+\S.*", re.IGNORECASE | re.DOTALL)
_basic = re.compile(r"\s*basic\s+([A-Za-z0-9+/=_-]{4,})\s*", re.IGNORECASE)
_runs = re.compile(rf"[A-Za-z0-9_+=.~-]{{{RANDOM_LENGTH},}}")
_piece = re.compile(r"[A-Za-z0-9]+")
_token = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_identifiers = re.compile(
    r"[0-9a-f]{12}[1457][0-9a-f]{3}[89ab][0-9a-f]{15}"  # a UUID without dashes
    r"|[0-9a-f]{40}|[0-9a-f]{24}"  # a commit; an id of MongoDB
    r"|[0-7][0-9A-HJKMNP-TV-Z]{25}"  # a ULID
)
_hex = re.compile(r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{32,}")
_plain = re.compile(r"[^\W\d_]{0,20}|[+-]?[0-9]{1,7}(?:[.,][0-9]{1,6})?%?")
_plain_between = re.compile(r"[\s,;/:|+_.&()!?'-]+")


def is_token(text: str) -> bool:
    """Whether the text contains a token of a known form."""
    if len(text) > 12 and _forms.search(text):
        return True
    return bool(_scheme.fullmatch(text)) or _is_basic(text)


def is_random(text: str, *, strict: bool = False) -> bool:
    """Whether the text contains a long random part; ``strict`` counts identifiers as random."""
    if len(text) < RANDOM_LENGTH:
        return False
    if strict and _uuid.search(text):
        return True
    text = _uuid.sub("", text)
    return any(_is_random(run, strict=strict) for run in _runs.findall(text))


def is_plain(text: str) -> bool:
    """Whether a value is made of a few words or small numbers, like the values that people choose from lists."""
    parts = _plain_between.split(text.strip(), maxsplit=12)
    return len(text) <= 120 and all(_plain.fullmatch(part) for part in parts)


def _is_random(run: str, *, strict: bool) -> bool:
    pieces = [piece for piece in _piece.findall(run) if len(piece) >= _SHORT]
    known = [piece for piece in pieces if _identifiers.fullmatch(piece)]
    if strict and known:
        return True
    pieces = [piece for piece in pieces if piece not in known]
    if any(_hex.fullmatch(piece) for piece in pieces):
        return True
    length = sum(map(len, pieces))
    changes = sum(len(_token.findall(piece)) - 1 for piece in pieces)
    return length >= RANDOM_LENGTH - 2 and 5 * changes >= length


def _is_basic(text: str) -> bool:
    found = _basic.fullmatch(text) if len(text) < 4096 else None
    if found is None:
        return False
    try:
        return b":" in base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
    except (ValueError, binascii.Error):
        return False
