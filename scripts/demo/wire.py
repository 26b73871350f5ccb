"""Arguments of KV commands from numpy arrays, and replies as arrays. Plain redis-py does the rest."""

import json
import struct

import numpy

SAFETENSORS_DTYPES = {"I64": "int64", "F32": "float32"}


class Mismatch(Exception):
    """The server's data differ from the data that were written."""


# --- arguments


def payload(value):
    """Returns the bytes of an array, without a copy if redis-py can send them so."""
    if value.nbytes < 4096:
        return value.tobytes()
    return memoryview(numpy.ascontiguousarray(value)).cast("B")


def lines(items):
    return ["LINES", "\n".join(items)]


def packed(numbers):
    return numpy.asarray(numbers, numpy.int64).tobytes()


def field_arguments(fields):
    """Returns FIELD ... BLOB of KV.PUT and KV.APPEND for each field."""
    arguments = []
    for name, value in fields.items():
        arguments += ["FIELD", name, value.dtype.name, *value.shape, "BLOB", payload(value)]
    return arguments


def column_arguments(rows):
    """Returns KV.MPUT's COLUMN ... BLOB for each field of these rows: dense if all shapes agree, else with SHAPES."""
    arguments = []
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        shapes = [value.shape for value in values]
        dims = first.shape if len(set(shapes)) == 1 else ("SHAPES", first.ndim, packed(shapes))
        arguments += ["COLUMN", name, first.dtype.name, *dims, "BLOB", b"".join(map(payload, values))]
    return arguments


def payload_bytes(rows):
    return sum(value.nbytes for row in rows for value in row.values())


# --- replies


def unpacked(blob):
    return numpy.frombuffer(blob, numpy.int64)


def pairs(reply):
    """Returns a map's contents: a dict in RESP3, a flat list in RESP2."""
    return reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])


def cells(dtype, shape, shapes, data):
    """Returns a field of rank 1 in KV.MGET's columns, one array per row."""
    values = numpy.frombuffer(data, dtype.decode())
    return list(values.reshape(shape)) if shapes is None else numpy.split(values, unpacked(shapes).cumsum()[:-1])


def safetensors(file):
    """Returns (columns, metadata) of KV.MGET ... PAD ... FORMAT safetensors; columns: name -> (dtype, shape, shapes, data)."""
    (size,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + size])
    about = header.pop("__metadata__")

    def data(name):
        start, end = header[name]["data_offsets"]
        return file[8 + size + start : 8 + size + end]

    columns = {}
    for name, entry in header.items():
        if not name.endswith(".shapes"):
            shapes = data(f"{name}.shapes") if f"{name}.shapes" in header else None
            columns[name] = (SAFETENSORS_DTYPES[entry["dtype"]], entry["shape"], shapes, data(name))
    return columns, about


# --- checks


def check_padded(columns, rows, name_of):
    """`columns`: name -> (dtype, shape, shapes, data), padded right with 0. `name_of(i)` names row i for people."""
    expect(sorted(columns), sorted(rows[0]), f"the fields of {name_of(0)} and those with it")
    for field, (dtype, shape, shapes, data) in columns.items():
        wanted, wanted_shapes = padded([row[field] for row in rows])
        got_shapes = [shape[1:]] * len(rows) if shapes is None else unpacked(shapes).reshape(len(rows), -1).tolist()
        for at, (got, row) in enumerate(zip(got_shapes, rows)):
            expect(got, list(row[field].shape), f"{name_of(at)}, field {field}: shape")
        where = f"field {field} of {name_of(0)} and those with it"
        expect((dtype, list(shape)), (wanted.dtype.name, list(wanted.shape)), f"{where}: dtype and shape")
        expect(shapes, wanted_shapes, f"{where}: shapes")
        expect(len(data), wanted.nbytes, f"{where}: bytes")
        if data != wanted.tobytes():
            got = numpy.frombuffer(data, numpy.uint8).reshape(len(rows), -1)
            at, byte = numpy.argwhere(got != wanted.view(numpy.uint8).reshape(len(rows), -1))[0]
            raise Mismatch(f"{name_of(at)}, field {field}: not what was written, from byte {byte} of its row on")


def padded(values):
    """Returns arrays of rank 0 or 1, or all of one shape, as one array; and their shapes, packed, None if all agree."""
    if len({value.shape for value in values}) == 1:
        return numpy.stack(values), None
    dense = numpy.zeros((len(values), max(value.size for value in values)), values[0].dtype)
    for row, value in zip(dense, values):
        row[: value.size] = value
    return dense, packed([value.shape for value in values])


def expect(got, wanted, what):
    if got != wanted:
        raise Mismatch(f"{what}: got {str(got)[:300]}, expected {str(wanted)[:300]}")
