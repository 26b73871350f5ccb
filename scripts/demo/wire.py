"""Arguments of KV commands made of numpy arrays, and replies read back. Plain redis-py does the rest."""

import json

import numpy


class Mismatch(Exception):
    """What came out of the server is not what went in."""


def payload(value):
    """The bytes of an array or of a byte string, without a copy where redis-py can send them so."""
    if isinstance(value, bytes):
        return value
    if value.nbytes < 4096:
        return value.tobytes()
    return memoryview(numpy.ascontiguousarray(value)).cast("B")


def dtype_name(value):
    return "bytes" if isinstance(value, bytes) else value.dtype.name


def shape_of(value):
    return (len(value),) if isinstance(value, bytes) else value.shape


def lines(items):
    return ["LINES", "\n".join(items)]


def packed(numbers):
    return numpy.asarray(numbers, numpy.int64).tobytes()


def field_arguments(fields):
    """KV.PUT's FIELD ... BLOB for each field. A byte string has no dims."""
    arguments = []
    for name, value in fields.items():
        dims = () if isinstance(value, bytes) else value.shape
        arguments += ["FIELD", name, dtype_name(value), *dims, "BLOB", payload(value)]
    return arguments


def column_arguments(rows):
    """KV.MPUT's COLUMN ... BLOB for each field of these rows: dense where all shapes agree, else with SHAPES."""
    arguments = []
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        shapes = [shape_of(value) for value in values]
        dense = not isinstance(first, bytes) and len(set(shapes)) == 1
        dims = shapes[0] if dense else ("SHAPES", len(shapes[0]), packed(shapes))
        blob = b"".join(map(payload, values))
        arguments += ["COLUMN", name, dtype_name(first), *dims, "BLOB", blob]
    return arguments


def payload_bytes(rows):
    return sum(len(payload(value)) for row in rows for value in row.values())


# --- checking: each returns how many values it compared, and raises Mismatch at the first that differs


def check_columns(reply, rows, who):
    """`reply` is KV.MGET's columns: [name, dtype, shape, shapes, data] a field."""
    columns = {name.decode(): rest for name, *rest in reply}
    expect(sorted(columns), sorted(rows[0]), f"{who}: the fields")
    for name, (dtype, shape, shapes, data) in columns.items():
        values = [row[name] for row in rows]
        where = f"{who}: field {name}"
        expect(dtype.decode(), dtype_name(values[0]), f"{where}: dtype")
        expect(shape[0], len(rows), f"{where}: rows")
        if shapes is None:
            got_shapes = [tuple(shape[1:])] * len(rows)
        else:
            got_shapes = list(map(tuple, numpy.frombuffer(shapes, numpy.int64).reshape(len(rows), -1).tolist()))
        expect(got_shapes, list(map(shape_of, values)), f"{where}: shapes")
        expect_bytes(data, b"".join(map(payload, values)), where)
    return len(columns) * len(rows)


def check_rows(reply, rows, who):
    """`reply` is KV.MGET's FORMAT rows: [[name, dtype, shape, data], ...] a row."""
    expect(len(reply), len(rows), f"{who}: the number of rows")
    for number, (entry, row) in enumerate(zip(reply, rows)):
        if entry is None:
            raise Mismatch(f"{who}: row {number} of the reply is missing")
        got = {name.decode(): rest for name, *rest in entry}
        expect(sorted(got), sorted(row), f"{who}: the fields of row {number}")
        for name, (dtype, shape, data) in got.items():
            where = f"{who}: row {number}, field {name}"
            expect(dtype.decode(), dtype_name(row[name]), f"{where}: dtype")
            expect(tuple(shape), shape_of(row[name]), f"{where}: shape")
            expect_bytes(data, payload(row[name]), where)
    return sum(map(len, rows))


def check_tags(reply, tags, who):
    expect([None if tag is None else json.loads(tag) for tag in reply], tags, f"{who}: the tags")
    return len(tags)


def expect(got, wanted, what):
    if got != wanted:
        raise Mismatch(f"{what}: got {str(got)[:200]}, expected {str(wanted)[:200]}")


def expect_bytes(got, wanted, what):
    if got != wanted:
        pairs = enumerate(zip(bytes(got), bytes(wanted)))
        first = next((at for at, (a, b) in pairs if a != b), min(len(got), len(wanted)))
        raise Mismatch(f"{what}: {len(got)} bytes came back, {len(wanted)} were sent; first difference at {first}")
