"""Keys as columns hold them: JSON texts in ASCII, with their quotes.

So any text is a key, whatever a database's encoding, case rules and trailing spaces: NUL and half surrogates too.
"""

from __future__ import annotations

import json


def quoted(key: str) -> str:
    """Return the column's text of a key."""
    return json.dumps(key)


def unquoted(column: str) -> str:
    """Return the key of a column's text."""
    if "\\" not in column:  # nothing is escaped, and parsing the keys would take longer than reading them all
        return column[1:-1]
    key: str = json.loads(column)
    return key
