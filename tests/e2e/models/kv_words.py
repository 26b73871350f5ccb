"""The words of docs/protocol.md, parsed slowly: names, numbers, lists, dtypes, values, tags, WHERE, globs, safetensors.

A wrong argument raises Fault with the possible error codes: one, or a few if there are two faults and the page does not
say which is reported. A case that the page leaves open raises Unspecified, and the random test does not send it:
kv_model.py has the list.
"""

import functools
import json
import re

import numpy as np
import torch
from tensors import TORCH, item_size

BYTE_STRINGS = {"utf8", "json", "bytes"}
OTHER_NAMES = {"float": "float32", "double": "float64", "bool": "bool", "string": "utf8"}
SAFETENSORS = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "F16": "float16",
    "BF16": "bfloat16", "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
ITEM = {name: item_size(name) for name in TORCH} | dict.fromkeys(BYTE_STRINGS, 1)
INT64_MAX = 2**63 - 1
INTEGER_RANGE = {"uint8": (0, 255)} | {f"int{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)}


class Fault(Exception):
    def __init__(self, *codes):
        super().__init__(*codes)
        self.codes = frozenset(codes)


class Unspecified(Exception):
    """docs/protocol.md does not specify this case."""


# ---------------------------------------------------------------------------------------------------- names, numbers


def check_name(raw):
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Fault("ERR") from None
    if not 1 <= len(raw) <= 512 or any(c < " " or "\x7f" <= c <= "\x9f" for c in text):
        raise Fault("ERR")
    return raw


def name_in_file(field):
    """The name of a field in a safetensors file."""
    before = b"%" if field.startswith((b"__", b"%")) else b""
    behind = b"%" if field.endswith((b".values", b".shapes", b"%")) else b""
    return before + field + behind


def field_of(name):
    """The field whose name in a safetensors file this is."""
    field = name.removeprefix(b"%").removesuffix(b"%")
    if name_in_file(field) != name:
        raise Fault("ERR")
    return check_name(field)


def integer(raw):
    if not re.fullmatch(rb"-?(0|[1-9][0-9]*)", raw) or raw == b"-0":
        if re.fullmatch(rb"[-+]?[0-9]+", raw):
            raise Unspecified("an integer in another spelling")
        raise Fault("ERR")
    if not -(2**63) <= int(raw) <= INT64_MAX:
        raise Unspecified("an integer past 64 bits: ERR or SHAPE")
    return int(raw)


def int64s(blob):
    if len(blob) % 8:
        raise Fault("SHAPE")
    return np.frombuffer(blob, "<i8").tolist()


def dtype_of(raw):
    name = raw.decode("latin1").lower()
    name = OTHER_NAMES.get(name, name)
    if name not in ITEM:
        raise Fault("DTYPE")
    return name


def size_of(dtype, shape):
    """Returns the number of bytes of a tensor; raises SHAPE for an invalid shape."""
    if len(shape) > 32 or any(dim < 0 for dim in shape):
        raise Fault("SHAPE")
    count = 1
    for dim in shape:
        count *= dim
    if count * ITEM[dtype] > INT64_MAX:
        raise Fault("SHAPE")
    if count == 0 and any(dim > 2**31 for dim in shape):
        raise Unspecified("a product that is 0 but overflows on its way")
    return count * ITEM[dtype]


# ------------------------------------------------------------------------------------------------------------ values


@functools.cache
def encode(dtype, text):
    """Returns the bytes of one value given as text."""
    if dtype in INTEGER_RANGE:
        if not re.fullmatch(rb"-?[0-9]+", text):
            if re.fullmatch(rb"\+[0-9]+", text):
                raise Unspecified("+1 as an integer")
            raise Fault("ERR")
        low, high = INTEGER_RANGE[dtype]
        if not low <= int(text) <= high:
            raise Fault("ERR")
        return int(text).to_bytes(ITEM[dtype], "little", signed=low < 0)
    if dtype == "bool":
        if text not in (b"0", b"1", b"true", b"false"):
            raise Fault("ERR")
        return bytes([text in (b"1", b"true")])
    if not re.fullmatch(rb"-?([0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?|inf)|nan", text):
        try:
            float(text)
        except ValueError:
            raise Fault("ERR") from None
        raise Unspecified("a float that Python reads but does not write so")
    value = float(text)
    largest = {"float8_e4m3fn": 448, "float8_e5m2": 57344}.get(dtype, float("inf"))
    if ITEM[dtype] < 4 and not abs(value) <= largest:
        raise Unspecified("which NaN of a small float; a float8 past its range, which may have no infinity")
    return encode_float(dtype, value)


def encode_float(dtype, value):
    return torch.tensor(value, dtype=torch.float64).to(TORCH[dtype]).reshape(1).view(torch.uint8).numpy().tobytes()


def reads_back(dtype, text, item):
    """Returns whether `text` is a valid text of the value with the bytes `item`."""
    if dtype == "bool":
        return text == (b"1" if item != b"\0" else b"0")
    if dtype in INTEGER_RANGE:
        return text == str(int.from_bytes(item, "little", signed=dtype != "uint8")).encode()
    value = torch.frombuffer(bytearray(item), dtype=TORCH[dtype]).double().item()
    if value != value:
        return text == b"nan"
    if encode_float(dtype, float(text)) != item:
        return False  # distinguishes an infinity and a zero by sign, too
    shortest = {"float64": repr, "float32": lambda wide: str(np.float32(wide))}.get(dtype, lambda wide: None)(value)
    return shortest is None or digits(text.decode()) <= digits(shortest)


def digits(text):
    """Returns the number of significant digits of a number's text."""
    return len(re.sub(r"[-.]", "", re.sub(r"[eE].*", "", text)).strip("0"))


# ------------------------------------------------------------------------------------------------------ JSON and WHERE


def strict_json(raw):
    """Returns the value (perhaps None) of a valid JSON text in UTF-8. Raises ValueError otherwise."""

    def constant(name):
        raise ValueError(name)

    def pairs(items):
        if len(dict(items)) != len(items):
            raise Unspecified("a name twice in one JSON object")
        return dict(items)

    return json.loads(raw.decode(), parse_constant=constant, object_pairs_hook=pairs)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def parse_tag(raw):
    if len(raw) > 1 << 16:
        raise Fault("BADTAG")
    try:
        value = strict_json(raw)
    except (ValueError, RecursionError):
        raise Fault("BADTAG") from None
    if not isinstance(value, dict) or depth_of(value) > 32:
        raise Fault("BADTAG")
    return value


def merge(target, patch):
    """RFC 7396, section 2, literally."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def same_json(a, b):
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return a == b


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def json_number(raw):
    if not re.fullmatch(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", raw):
        return None
    return int(raw) if re.fullmatch(rb"-?[0-9]+", raw) else float(raw)


COMPARE = {
    b"=": lambda a, b: a == b,
    b"!=": lambda a, b: a != b,
    b"<": lambda a, b: a < b,
    b"<=": lambda a, b: a <= b,
    b">": lambda a, b: a > b,
    b">=": lambda a, b: a >= b,
    b"PREFIX": lambda a, b: a.startswith(b),
}


def holds(condition, tag):
    name, op, argument = condition
    tag = {key.encode("utf-8", "surrogatepass"): value for key, value in tag.items()}
    if name not in tag:
        return op == b"!="
    value = tag[name]
    if op == b"IN":
        return any(same_json(value, item) for item in argument) and not isinstance(value, list | dict)
    if isinstance(value, str):
        return COMPARE[op](value.encode(), argument)
    if is_number(value):
        number = json_number(argument)
        if number is None or op == b"PREFIX":
            return op == b"!="
        return COMPARE[op](value, number)
    if isinstance(value, bool):
        same = argument == (b"true" if value else b"false")
        return op == b"=" and same or op == b"!=" and not same
    return op == b"!="


def fits(where, tag):
    return all(holds(condition, tag) for condition in where)


def glob(pattern, text):
    """As Redis's stringmatchlen, on bytes."""
    if not pattern:
        return not text
    head, rest = pattern[:1], pattern[1:]
    if head == b"*":
        return any(glob(rest, text[i:]) for i in range(len(text) + 1))
    if not text:
        return False
    if head == b"?":
        return glob(rest, text[1:])
    if head == b"[":
        negate = rest.startswith(b"^")
        end = rest.find(b"]", 1 if negate else 0)
        inside = rest[1 if negate else 0 : end]
        if end < 0 or b"\\" in inside:
            raise Unspecified("a glob whose [ does not end, or with \\ in it")
        found, i = False, 0
        while i < len(inside):
            if inside[i + 1 : i + 2] == b"-" and i + 2 < len(inside):
                low, high = sorted((inside[i], inside[i + 2]))
                found |= low <= text[0] <= high
                i += 3
            else:
                found |= inside[i] == text[0]
                i += 1
        return found != negate and glob(rest[end + 1 :], text[1:])
    if head == b"\\" and rest:
        head, rest = rest[:1], rest[1:]
    return head == text[:1] and glob(rest, text[1:])


# -------------------------------------------------------------------------------------------------- arguments in order


class Words:
    """The arguments of one command, read from the left. `faults` has the codes of faults that do not stop parsing."""

    def __init__(self, args):
        self.args, self.at, self.faults = args, 0, set()

    def __bool__(self):
        return self.at < len(self.args)

    def fail(self, *codes):
        raise Fault(*(self.faults | set(codes)))

    def next(self):
        if not self:
            self.fail("ERR")
        self.at += 1
        return self.args[self.at - 1]

    def word(self):
        return self.next().decode("latin1").upper()

    def peek(self):
        return self.args[self.at].decode("latin1").upper() if self else ""

    def attempt(self, function, *args):
        """Returns None, and records the codes, if it fails."""
        try:
            return function(*args)
        except Fault as fault:
            self.faults |= fault.codes
            return None

    def name(self):
        """An invalid name is recorded as a fault; the name is still returned, so that parsing continues."""
        raw = self.next()
        self.attempt(check_name, raw)
        return raw

    def integer(self, low=None):
        try:
            value = integer(self.next())
        except Fault:
            self.fail("ERR")
        if low is not None and value < low:
            self.fail("ERR")
        return value

    def items(self):
        raw = self.next()
        if raw.upper() == b"LINES":
            blob = self.next()
            items = blob.removesuffix(b"\n").split(b"\n")
            if not all(items):
                self.fail("ERR")
            return items
        try:
            count = integer(raw)
        except Fault:
            self.fail("ERR")
        if count < 1 or count > len(self.args) - self.at:
            self.fail("ERR")
        return [self.next() for _ in range(count)]

    def names(self):
        items = self.items()
        for item in items:
            self.attempt(check_name, item)
        return items

    def fields(self):
        items = self.names()
        if len(set(items)) < len(items):
            raise Unspecified("a field named twice in a list of fields")
        return items

    def where(self):
        conditions = []
        for _ in range(self.integer(1)):
            name, op, value = self.name(), self.next(), self.next()
            if op.upper() in (b"IN", b"PREFIX") and op != op.upper():
                raise Unspecified("an op in lower case")
            if op == b"IN":
                try:
                    value = strict_json(value)
                except ValueError:
                    self.fail("ERR")
                if not isinstance(value, list):
                    self.fail("ERR")
                if any(item in ("true", "false", "null") for item in value if isinstance(item, str)):
                    raise Unspecified("IN [\"true\"] against true")
            elif op not in COMPARE:
                self.fail("ERR")
            conditions.append((name, op, value))
        return conditions

    def rows(self, kinds):
        """Returns ("KEYS", names), ("ROWS", indexes), ("WHERE", conditions) or ("NEW", n)."""
        kind = self.word()
        if kind not in kinds:
            self.fail("ERR")
        if kind == "KEYS":
            return kind, self.names()
        if kind == "WHERE":
            return kind, self.where()
        if kind == "NEW":
            count = self.integer(1)
            if count > 1000:
                raise Unspecified("too many for this test")
            return kind, count
        rows = self.attempt(int64s, self.next())
        if rows == []:
            raise Unspecified("ROWS of no rows")
        return kind, rows

    def options(self, write=False, **known):
        """Returns {name: result of its reader}; each at most once. True is an option without a value."""
        found = {}
        while self:
            name = self.word()
            if name not in known:
                self.fail("ERR")
            if name in found and not write:
                raise Unspecified("an option twice in a read")
            if name in found:
                self.faults.add("ERR")
            found[name] = True if known[name] is True else known[name]()
        return found

    def finish(self):
        if self:
            self.fail("ERR")
        if self.faults:
            self.fail()


# --------------------------------------------------------------------------------------------------------- safetensors


def open_safetensors(blob):
    """Returns ({name: (dtype in the file's words, shape, bytes)}, metadata)."""
    if len(blob) < 8 or int.from_bytes(blob[:8], "little") > len(blob) - 8:
        raise Fault("ERR")
    size = int.from_bytes(blob[:8], "little")
    try:
        header = strict_json(blob[8 : 8 + size])
    except ValueError:  # the truncated part of a header may have contained an unsupported dtype
        lacking = any(b'"%s"' % word in blob for word in (b"U16", b"C64", b"F4"))
        raise Fault("ERR", *["DTYPE"] * lacking) from None
    if not isinstance(header, dict):
        raise Fault("ERR")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Fault("ERR")
    data, tensors, spans = blob[8 + size :], {}, []
    whole = all(isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
                for entry in header.values())  # fmt: skip
    if not whole:
        words = [entry.get("dtype", "U8") for entry in header.values() if isinstance(entry, dict)]
        raise Fault("ERR", *["DTYPE"] * any(word not in SAFETENSORS for word in words))
    for name, entry in header.items():
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        spans.append((begin, end))
        tensors[name.encode()] = (dtype, shape, data[begin:end])
    at, holes = 0, False
    for begin, end in sorted(spans):
        holes = holes or begin != at or end < begin
        at = end
    if holes or at != len(data):
        lacking = any(dtype not in SAFETENSORS for dtype, _, _ in tensors.values())
        raise Fault("SHAPE", *["DTYPE"] * lacking)
    return tensors, metadata


def read_safetensors(blob, rows):
    """Returns [(field, dtype, [(shape, bytes) of each row])]; raises every code that any part deserves."""
    tensors, metadata = open_safetensors(blob)
    # Also for a tensor that would be ignored: the header is read whole first.
    faults, columns = {"DTYPE"} if any(word not in SAFETENSORS for word, _, _ in tensors.values()) else set(), []
    if not tensors:
        raise Unspecified("a file without tensors")
    for name, (word, shape, data) in tensors.items():
        if word in SAFETENSORS and size_of(SAFETENSORS[word], shape) != len(data):
            faults.add("SHAPE")  # also if its name is wrong, or it would be ignored
        base, _, end = name.rpartition(b".")
        other = {b"values": b".shapes", b"shapes": b".values"}.get(end)
        pair = other is not None and base + other in tensors
        if pair and base in tensors:
            raise Unspecified("x, x.values and x.shapes in one file")
        if end == b"shapes" and (pair or base in tensors):
            continue
        try:
            name = base if pair else name
            field = field_of(name)
            dtype = SAFETENSORS.get(word)
            if dtype is None:
                raise Fault("DTYPE")
            text_type = metadata.get(name.decode())
            if text_type is not None and (not pair or dtype != "uint8" or text_type not in BYTE_STRINGS):
                raise Unspecified("__metadata__ names a field that is not a byte string")
            if size_of(dtype, shape) != len(data):
                continue
            if not pair:
                if not shape or shape[0] != rows:
                    raise Fault("SHAPE")
                step = len(data) // rows
                cells = [(tuple(shape[1:]), data[i * step : (i + 1) * step]) for i in range(rows)]
            else:
                cells = split_pair(tensors[base + b".shapes"], dtype, shape, data, rows, text_type)
            columns.append((field, text_type or dtype, cells))
        except Fault as fault:
            faults |= fault.codes
    if faults:
        raise Fault(*faults)
    return columns


def split_pair(shapes, dtype, values_shape, data, rows, text_type):
    word, shape, raw = shapes
    if word != "I64":
        raise Unspecified("NAME.shapes that is not I64")
    if len(shape) != 2 or shape[0] != rows or len(values_shape) != 1 or len(raw) != 8 * shape[0] * shape[1]:
        raise Fault("SHAPE")
    if text_type and shape[1] != 1:
        raise Fault("SHAPE")
    return split_ragged(dtype, shape[1], int64s(raw), data, rows)


def split_ragged(dtype, rank, dims, data, rows):
    if rank == 0:
        raise Unspecified("ragged with rank 0")
    if len(dims) != rank * rows:
        raise Fault("SHAPE")
    cells, at = [], 0
    for i in range(rows):
        shape = tuple(dims[i * rank : (i + 1) * rank])
        size = size_of(dtype, shape)
        cells.append((shape, data[at : at + size]))
        at += size
    if at != len(data):
        raise Fault("SHAPE")
    return cells
