"""Tags with any value: None, nested dicts and pickles, in the JSON objects of the server.

The server merges tags by RFC 7396: null removes a name, and dicts are merged in depth. TransferQueue keeps None, and
replaces dicts. So these values are stored as a list of a mark and the value:

    None, a dict, a list that begins with a mark    ["sluice.json", the value]
    what JSON cannot represent                      ["sluice.pickle", base64]   if pickles are allowed

All other values are stored as they are, so WHERE and BY work on them. NumPy numbers are read as Python's,
and tuples as lists.
"""

from __future__ import annotations

import base64
import json
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.values import NotJson, json_text

_JSON, _PICKLE = "sluice.json", "sluice.pickle"


def stored(tags: Sequence[Mapping[str, Any] | None] | None, allow_pickle: bool) -> list[dict[str, Any]] | None:
    """Returns tags as they are stored. Raises ValueError for a value that is not JSON, if pickles are not allowed."""
    return (
        None
        if tags is None
        else [{name: _stored(name, value, allow_pickle) for name, value in (tag or {}).items()} for tag in tags]
    )


def given(tag: Mapping[str, Any], allow_pickle: bool) -> dict[str, Any]:
    """Returns a stored tag as it was given. Raises ValueError for a pickle, if pickles are not allowed."""
    return {name: _given(name, value, allow_pickle) for name, value in tag.items()}


def _stored(name: str, value: Any, allow_pickle: bool) -> Any:
    if type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    try:
        plain = json.loads(json_text(value, exact=False))
    except NotJson as error:
        if not allow_pickle:
            raise ValueError(f"the value of tag '{name}' is not JSON{error}; allow_pickle allows pickles") from None
        return [_PICKLE, base64.b64encode(pickle.dumps(value, protocol=5)).decode()]
    return [_JSON, plain] if plain is None or isinstance(plain, dict) or _mark(plain) else plain


def _given(name: str, value: Any, allow_pickle: bool) -> Any:
    mark = _mark(value)
    if mark == _PICKLE and not allow_pickle:
        raise ValueError(f"tag '{name}' holds a pickled Python object, and pickles are not allowed: set allow_pickle")
    return value if mark is None else value[1] if mark == _JSON else pickle.loads(base64.b64decode(value[1]))


def _mark(value: Any) -> str | None:
    return value[0] if isinstance(value, list) and len(value) == 2 and value[0] in (_JSON, _PICKLE) else None
