"""Checks of replies for which equality is too strict: maps, JSON text, orders that docs/protocol.md leaves open."""

import functools
import json

from kv_words import ITEM, SAFETENSORS, open_safetensors, reads_back, same_json, strict_json
from tensors import packed


def matches(expected, got):
    if hasattr(expected, "accepts"):
        return expected.accepts(got)
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(matches, expected, got))
    return type(got) is type(expected) and got == expected


def difference(expected, got):
    """Returns the differences as text."""
    if isinstance(expected, ByName) and isinstance(got, list):
        return "of " + difference(sorted(expected.args[0], key=first), sorted(got, key=first))
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for i, (a, b) in enumerate(zip(expected, got, strict=True)):
            if not matches(a, b):
                return f"[{i}]{difference(a, b)}"
    return f"\n  expected {expected!r:.1500}\n       got {got!r:.1500}"


def pairs(got):
    """A map from RESP3 (a dict) or RESP2 (a flat list): returns [(key, value)]."""
    if isinstance(got, dict):
        return list(got.items())
    return list(zip(got[::2], got[1::2], strict=True))


@functools.lru_cache(100000)
def parsed(raw):
    return strict_json(raw)


class Reply:
    def __init__(self, *args):
        self.args = args

    def __repr__(self):
        return f"{type(self).__name__}{self.args}"


class Error(Reply):
    """Error(codes): an error whose first word is one of these; with None, any error."""

    def accepts(self, got):
        return isinstance(got, ErrorReply) and (self.args[0] is None or got.code in self.args[0])


CODES = {"NOPARTITION", "NOKEY", "NOFIELD", "NOTREADY", "DTYPE", "SHAPE", "BADTAG", "FULL", "OOM", "WRONGTYPE"}


class ErrorReply:
    """An error reply of the server; redis-py leaves the word ERR out."""

    def __init__(self, text):
        self.text = text
        self.code = text.split(" ")[0] if text.split(" ")[0] in CODES else "ERR"

    def __repr__(self):
        return f"-{self.text}"


class OneOf(Reply):
    def accepts(self, got):
        return any(matches(choice, got) for choice in self.args)


class ByName(Reply):
    """Entries that begin with a field's name, in any order."""

    def accepts(self, got):
        if not isinstance(got, list):
            return False
        entries, got = sorted(self.args[0], key=first), sorted(got, key=first)
        return entries == got or matches(entries, got)


class Names(Reply):
    """These names, in any order."""

    def accepts(self, got):
        return isinstance(got, list) and sorted(got) == sorted(self.args[0])


def first(entry):
    return entry[0]


class Tag(Reply):
    def accepts(self, got):
        return isinstance(got, bytes) and same_json(parsed(got), self.args[0])


class Map(Reply):
    """Map({key: expected value}): in this order."""

    def accepts(self, got):
        (expected,) = self.args
        got = pairs(got)
        return [key for key, _ in got] == list(expected) and all(matches(expected[key], value) for key, value in got)


class Lines(Reply):
    """Lines([(key, index, tag)]): one line of JSON per row."""

    def accepts(self, got):
        if not isinstance(got, bytes):
            return False
        lines = got.removesuffix(b"\n").split(b"\n") if got else []
        want = [{"key": key.decode(), "index": index, "tag": tag} for key, index, tag in self.args[0]]
        return len(lines) == len(want) and all(map(same_json, map(parsed, lines), want))


class Texts(Reply):
    """Texts(dtype, data): the values of FORMAT values."""

    def accepts(self, got):
        dtype, data = self.args
        if dtype in ("utf8", "json", "bytes"):
            return got == [data]
        step = ITEM[dtype]
        items = [data[i : i + step] for i in range(0, len(data), step)]
        return len(got) == len(items) and all(reads_back(dtype, *pair) for pair in zip(got, items, strict=True))


class Changes(Reply):
    """Changes(must, may, removed_must, removed_may): the keys that must be named, and those that may be, with their
    tags; the same for removed keys, None if the third element is nil."""

    def accepts(self, got):
        must, may, removed_must, removed_may = self.args
        revision, changed, removed = got
        changed = pairs(changed)
        keys = {key for key, _ in changed}
        if type(revision) is not int or len(keys) < len(changed) or not must <= keys <= may.keys():
            return False
        if (removed is None) != (removed_must is None):
            return False
        if removed is not None and not removed_must <= set(removed) <= removed_may:
            return False
        return all(Tag(may[key]).accepts(value) for key, value in changed)


class Page(Reply):
    """Page(matching rows {key: tag}, count): one reply of KV.SCAN."""

    def accepts(self, got):
        rows, count = self.args
        cursor, page = got
        page = pairs(page)
        return (
            int(cursor) >= 0
            and len({key for key, _ in page}) == len(page) <= count
            and all(key in rows and Tag(rows[key]).accepts(tag) for key, tag in page)
        )


class Shared(Reply):
    """Shared(cells of the rows, dtype, field, entry): a column with DICT, its distinct rows in any order; entry(field,
    dtype, cells) is the column without DICT."""

    def accepts(self, got):
        rows, dtype, name, entry = self.args
        if not isinstance(got, list) or len(got) != 6 or len(got[5]) != 8 * len(rows):
            return False
        positions = [int.from_bytes(got[5][i : i + 8], "little", signed=True) for i in range(0, len(got[5]), 8)]
        if sorted(set(positions)) != list(range(len(set(positions)))):
            return False
        chosen = {}
        for cell, position in zip(rows, positions, strict=True):
            before = chosen.setdefault(position, cell)
            if before.blob is not cell.blob and (cell.blob.data or before.shape != cell.shape):
                return False
        for other in rows:
            for cell, position in zip(rows, positions, strict=True):
                if cell.blob is other.blob and cell.blob.data and chosen[position].blob is not other.blob:
                    return False
        stored = {id(cell.blob) for cell in rows if cell.blob.data}
        used = {id(cell.blob) for cell in chosen.values() if cell.blob.data}
        full = sum(1 for cell in chosen.values() if cell.blob.data)
        if used != stored or full != len(stored):
            return False
        distinct = [chosen[position] for position in range(len(chosen))]
        return matches(entry(name, dtype, distinct), got[:5])


class SafetensorsFile(Reply):
    """SafetensorsFile({name: (dtype's word, shape, bytes)}, {byte-string field: type}, partition, keys)."""

    def accepts(self, got):
        tensors, types, partition, keys = self.args
        if not isinstance(got, bytes):
            return False
        if not got and not tensors:
            return True
        found, metadata = open_safetensors(got)
        metadata = dict(metadata)
        if json.loads(metadata.pop("__keys__")) != [key.decode() for key in keys]:
            return False
        return metadata.pop("__partition__") == partition.decode() and metadata == types and found == tensors


WORD_OF = {name: word for word, name in SAFETENSORS.items()}


def shapes_blob(cells):
    return packed([cell.shape for cell in cells])
