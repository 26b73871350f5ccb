"""A slow, obvious model of the KV commands of docs/protocol.md (all but KV.SHOW and BLOCK), from that page
alone.

Model.execute(args) returns the reply as redis-py returns it over RESP2 without decoding, or an object that checks it
(kv_replies.py). Errors are compared by their first word. Each command is parsed whole before the state is read; an
error changes nothing.

Points that docs/protocol.md leaves open, and the assumptions here:
 1. Order of fields if none are requested (MGET without FIELDS, KV.FIELDS): any. Order in KV.CHANGES: any.
 2. Two faults in one write: the code of either. In a read, syntax, numbers and names (ERR) and blobs whose length is
    not a multiple of 8 (SHAPE) precede the state (NOPARTITION ...).
 3. Names are checked everywhere, in reads too: an invalid name is ERR, not NOKEY or NOFIELD.
 4. FIELD x SAME k without a partition is NOKEY. SAME reads the state before the call.
 5. A cell begun with MORE holds its field: NOTREADY, not NOFIELD; its dtype binds; KV.FIELDS lists the field and
    counts the cell's bytes, not its row; KV.CLEAR FIELDS counts the cell. KV.PUT and MPUT replace it and make it
    ready. MORE on a ready cell makes that cell not ready.
 6. KV.APPEND: the dims are those of the piece. Without dims, if the cell exists, the piece has the cell's other dims,
    and its bytes determine its number of rows. A byte string needs no dims, also if it is created. A cell that shares
    storage and grows has its own storage afterwards.
 7. DICT with dims: m is one more than the largest number in it. Cells of zero bytes may be shared or not.
 8. The PAD value is checked against the padded fields, after all other errors but SHAPE of rows of different rank,
    which may come first or not; a dense field is returned as without PAD.
 9. MGET by WHERE that matches no row: NOFIELD is still an error, NOTREADY is not. safetensors: an empty string, or a
    file without tensors.
10. KV.FIELDS of a row named twice: `ready rows` may count it once or twice. Its shape if some cells are not ready: of
    the ready ones, or of all.
11. KV.CHANGES: a write that changes nothing may name its row or not. A key that was removed and put again is in the
    map, and may be in the list too (apply the list first); the same holds for a key made and removed since. Clearing
    fields changes their row.
12. KV.LIST of a missing partition with FORMAT lines: an empty map or an empty string. A newline ends the last line or
    does not.
13. A DTYPE, SHAPE or BADTAG found before a later syntax error may be the reply, or ERR.
14. A byte string as COLUMN without SHAPES, and a negative rank, are SHAPE or ERR.
15. JSON has depth 32 if 32 containers are nested, counting the outermost object.

Not sent, as the page does not specify it (each raises Unspecified): ROWS of no rows; a field twice in a list of fields,
an option twice in a read; dims of a byte string; integers written as +1 or 01, or past 64 bits;
`nan` as a float of 1 or 2 bytes, which have several; a float8 beyond its range; floats that Python reads but does not
write; a name twice in one JSON object; ops in lower case; IN ["true"] against true; SHAPES of rank 0; dims whose
product overflows on its way to 0; APPEND of nothing to shared storage; safetensors with x, x.values and x.shapes, with
shapes that are not I64, with types in __metadata__ for fields that are not byte strings, without tensors; globs with an
unclosed [.
"""

import dataclasses
import itertools

import numpy as np
from kv_replies import (
    WORD_OF,
    ByName,
    Changes,
    Error,
    Lines,
    Map,
    Names,
    OneOf,
    Page,
    Reply,
    SafetensorsFile,
    Shared,
    Tag,
    Texts,
    shapes_blob,
)
from kv_words import (
    BYTE_STRINGS,
    ITEM,
    Fault,
    Unspecified,
    Words,
    dtype_of,
    encode,
    fits,
    glob,
    int64s,
    merge,
    name_in_file,
    parse_tag,
    read_safetensors,
    size_of,
    split_ragged,
)
from tensors import packed


class Blob:
    """Stored bytes. Cells that share storage share the Blob, not only equal bytes."""

    def __init__(self, data):
        self.data = data


@dataclasses.dataclass(eq=False)
class Cell:
    dtype: str
    shape: tuple
    blob: Blob
    ready: bool = True


@dataclasses.dataclass(eq=False)
class Row:
    key: bytes
    index: int
    made: int
    tag: dict = dataclasses.field(default_factory=dict)
    cells: dict = dataclasses.field(default_factory=dict)
    revision: int = 0  # of the last write that definitely changed it
    touched: int = 0  # of the last write that named it

    def ready(self, fields):
        return all(field in self.cells and self.cells[field].ready for field in fields)


class Partition:
    def __init__(self, made):
        self.made, self.next_index, self.rows, self.removed = made, 0, {}, []  # rows: key -> Row, in index order

    def fields(self):
        """Returns {field: dtype} of the fields that at least one row holds."""
        return {name: cell.dtype for row in self.rows.values() for name, cell in row.cells.items()}

    def find(self, kind, items):
        """Returns the requested rows, None for each missing one."""
        if kind == "KEYS":
            return [self.rows.get(key) for key in items]
        if kind == "ROWS":
            by_index = {row.index: row for row in self.rows.values()}
            return [by_index.get(index) for index in items]
        return [row for row in self.rows.values() if fits(items, row.tag)]

    def new_key(self):
        """Returns the next index as text, skipping those whose text is a key already."""
        while str(self.next_index).encode() in self.rows:
            self.next_index += 1
        return str(self.next_index).encode()

    def add(self, key, revision):
        row = self.rows[key] = Row(key, self.next_index, revision)
        self.next_index += 1
        return row


class Model:
    def __init__(self):
        self.partitions, self.strings, self.revision = {}, set(), 0
        self.revisions = {}  # a revision of the server -> the model's at the same moment; the sender of KV.CHANGES records it

    def execute(self, args):
        handler = getattr(self, "do_" + args[0].decode("latin1").lower().replace(".", "_"), None)
        if handler is None:
            return Error({"ERR"})
        try:
            return handler(Words(args[1:]))
        except Fault as fault:
            return Error(fault.codes)

    def partition(self, name, words=None):
        """Returns the partition, or None."""
        if name in self.strings:
            if words is None:
                raise Fault("WRONGTYPE")
            words.fail("WRONGTYPE")
        return self.partitions.get(name)

    def existing(self, name):
        partition = self.partition(name)
        if partition is None:
            raise Fault("NOPARTITION")
        return partition

    # ------------------------------------------------------------------------------------------------------- writes

    def do_kv_put(self, words):
        name, key = words.name(), words.name()
        tag, cells, same, returned = None, {}, {}, None

        def field():
            field_name = words.name()
            if field_name in cells or field_name in same:
                words.faults.add("ERR")
            if words.peek() == "SAME":
                words.next()
                same[field_name] = words.name()
            else:
                cells[field_name] = self.one_cell(words, values=True)

        given = set()
        while words:
            option = words.word()
            if option == "FIELD":
                field()
            elif option == "TAG":
                tag = words.attempt(parse_tag, words.next())
            elif option == "RETURN":
                returned = self.what_to_return(words, returned)
                continue
            else:
                words.fail("ERR")
            if option == "TAG" and option in given:
                words.faults.add("ERR")
            given.add(option)
        if not given:
            words.fail("ERR")
        partition = self.partition(name, words)
        for field_name, source in same.items():
            cells[field_name] = words.attempt(self.same_cell, partition, source, field_name)
        self.check_dtypes(partition, cells, words)
        words.finish()
        new, indexes = self.write(name, [(key, tag, cells)])
        return self.with_returned(name, indexes, returned, new)

    def what_to_return(self, words, before):
        """Reads the arguments after RETURN."""
        what = words.word()
        if before is not None:
            words.faults.add("ERR")
        if what not in ("FIELDS", "TAGS", "BOTH"):
            words.fail("ERR")
        return what

    def with_returned(self, name, indexes, what, reply):
        if what is None:
            return reply
        rows = self.partitions[name].find("ROWS", indexes)
        fields = [field for field in self.partitions[name].fields() if rows and all(row.ready([field]) for row in rows)]
        parts = {"FIELDS": [Names(fields)], "TAGS": [[Tag(row.tag) for row in rows]]}
        return [reply, *(parts.get(what) or parts["FIELDS"] + parts["TAGS"])]

    def same_cell(self, partition, key, field):
        row = partition and partition.rows.get(key)
        if row is None:
            raise Fault("NOKEY")
        if field not in partition.fields():
            raise Fault("NOFIELD")
        if not row.ready([field]):
            raise Fault("NOTREADY")
        return row.cells[field]

    def one_cell(self, words, values=False):
        """<dtype> [<dim> ...] BLOB <bytes> | VALUES <v> ...; returns None, and records the codes, if it is wrong but readable."""
        dtype = words.attempt(dtype_of, words.next())
        shape = []
        while words.peek() not in ("BLOB", "VALUES"):
            shape.append(words.integer())
        if shape and dtype in BYTE_STRINGS:
            raise Unspecified("dims of a byte string")
        size = words.attempt(size_of, dtype or "int8", shape)
        if words.word() == "BLOB":
            data = words.next()
            if dtype in BYTE_STRINGS:
                size = len(data)
            if size is not None and dtype is not None and len(data) != size:
                words.faults.add("SHAPE")
        elif not values or size is None:
            words.fail("ERR")
        else:
            count = size // ITEM[dtype or "int8"]
            if count > len(words.args) - words.at:
                words.fail("ERR")
            texts = [words.next() for _ in range(count)]
            if dtype is None:
                return None
            data = texts[0] if dtype in BYTE_STRINGS else None
            if data is None:
                items = [words.attempt(encode, dtype, text) for text in texts]
                data = None if None in items else b"".join(items)
        if dtype is None or size is None or data is None:
            return None
        return Cell(dtype, (len(data),) if dtype in BYTE_STRINGS else tuple(shape), Blob(data))

    def check_dtypes(self, partition, cells, words):
        held = partition.fields() if partition else {}
        for field, cell in cells.items():
            if cell is not None and held.get(field, cell.dtype) != cell.dtype:
                words.faults.add("DTYPE")

    def write(self, name, rows):
        """rows: (key, tag or None, {field: Cell}); a key of None is made here. Returns (number of new rows, indexes)."""
        self.revision += 1
        partition = self.partitions.setdefault(name, Partition(self.revision))
        new, indexes = 0, []
        for key, tag, cells in rows:
            if key is None:
                key = partition.new_key()
            row = partition.rows.get(key)
            changed = row is None or bool(cells)
            if row is None:
                new += 1
                row = partition.add(key, self.revision)
            merged = merge(row.tag, tag or {})
            changed |= merged != row.tag
            row.tag = merged
            row.cells.update({field: Cell(c.dtype, c.shape, c.blob, c.ready) for field, c in cells.items()})
            row.touched = self.revision
            if changed:
                row.revision = self.revision
            indexes.append(row.index)
        return new, indexes

    def do_kv_mput(self, words):
        name = words.name()
        kind, items = words.rows({"KEYS", "ROWS", "NEW"})
        count = items if kind == "NEW" else None if items is None else len(items)
        if kind != "NEW" and items is not None and len(set(items)) < len(items):
            words.faults.add("ERR")
        tags, columns, given, returned = None, {}, set(), None
        while words:
            option = words.word()
            if option == "RETURN":
                returned = self.what_to_return(words, returned)
                continue
            if option not in ("TAGS", "COLUMN", "SAFETENSORS"):
                words.fail("ERR")
            if option in given:
                words.faults.add("ERR")
            if option == "TAGS":
                texts = words.items()
                tags = [words.attempt(parse_tag, text) for text in texts]
                if count is not None and len(tags) != count:
                    words.faults.add("SHAPE")
            elif option == "COLUMN":
                self.column(words, count, columns)
                continue
            elif count is not None:
                for field, dtype, cells in words.attempt(read_safetensors, words.next(), count) or []:
                    if field in columns:
                        words.faults.add("ERR")
                    columns[field] = [Cell(dtype, shape, Blob(data)) for shape, data in cells]
            else:
                words.next()
            given.add(option)
        partition = self.partition(name, words)
        if kind == "ROWS" and partition is None:
            words.fail("NOPARTITION")
        keys = [None] * count if kind == "NEW" else items
        if kind == "ROWS" and items is not None:
            rows = partition.find(kind, items)
            if None in rows:
                words.faults.add("NOKEY")
            keys = [row and row.key for row in rows]
        self.check_dtypes(partition, {field: cells and cells[0] for field, cells in columns.items()}, words)
        words.finish()
        cells_of = [{field: cells[i] for field, cells in columns.items()} for i in range(count)]
        new, indexes = self.write(name, list(zip(keys, tags or [None] * count, cells_of, strict=True)))
        return self.with_returned(name, indexes, returned, [new, packed(indexes)])

    def column(self, words, count, columns):
        field = words.name()
        if field in columns:
            words.faults.add("ERR")
        columns[field] = None
        dtype = words.attempt(dtype_of, words.next())
        dims, rank, shapes, where = [], None, None, None
        if words.peek() == "SHAPES":
            words.next()
            rank = words.integer()
            shapes = words.attempt(int64s, words.next())
            if rank < 0:
                words.fail("SHAPE", "ERR")
            if rank > 32:
                words.faults.add("SHAPE")
        while words.peek() not in ("DICT", "BLOB"):
            if rank is not None:
                words.fail("ERR")
            dims.append(words.integer())
        if words.peek() == "DICT":
            words.next()
            where = words.attempt(int64s, words.next())
            if where is None:
                count = None
        if words.word() != "BLOB":
            words.fail("ERR")
        data = words.next()
        if dtype is None or count is None:
            return
        if dims and dtype in BYTE_STRINGS:
            raise Unspecified("dims of a byte string")
        if rank is None and dtype in BYTE_STRINGS:
            words.faults |= {"SHAPE", "ERR"}
        elif rank is None or shapes is not None:
            columns[field] = words.attempt(self.column_cells, dtype, dims, rank, shapes, where, data, count)

    def column_cells(self, dtype, dims, rank, shapes, where, data, count):
        if where is not None:
            if len(where) != count or min(where) < 0 or sorted(set(where)) != list(range(len(set(where)))):
                raise Fault("SHAPE")
            count = len(set(where))
        if rank is not None:
            if dtype in BYTE_STRINGS and rank != 1:
                raise Fault("SHAPE")
            cells = split_ragged(dtype, rank, shapes, data, count)
        else:
            size = size_of(dtype, dims)
            if size * count != len(data):
                raise Fault("SHAPE")
            cells = [(tuple(dims), data[i * size : (i + 1) * size]) for i in range(count)]
        cells = [Cell(dtype, shape, Blob(part)) for shape, part in cells]
        return cells if where is None else [cells[i] for i in where]

    def do_kv_append(self, words):
        name, key = words.name(), words.name()
        piece = []

        def field():
            piece.append(words.name())
            dtype = words.attempt(dtype_of, words.next())
            shape = []
            while words.peek() != "BLOB":
                shape.append(words.integer())
            words.next()
            if shape and dtype in BYTE_STRINGS:
                raise Unspecified("dims of a byte string")
            piece.extend([dtype, shape, words.next()])
            if shape and dtype is not None and words.attempt(size_of, dtype, shape) != len(piece[3]):
                words.faults.add("SHAPE")
            return True

        given = words.options(write=True, MORE=True, FIELD=field)
        if "FIELD" not in given:
            words.fail("ERR")
        partition = self.partition(name, words)
        field_name, dtype, shape, data = piece[:4]
        if dtype is None:
            words.fail()
        row = partition and partition.rows.get(key)
        old = row and row.cells.get(field_name)
        if (partition.fields() if partition else {}).get(field_name, dtype) != dtype:
            words.faults.add("DTYPE")
            if old:
                words.faults.add("SHAPE")
                words.fail()
        cell = words.attempt(self.grown, old, dtype, shape, data)
        words.finish()
        if old and not data and self.shared(old):
            raise Unspecified("nothing appended to shared storage")
        cell.ready = "MORE" not in given
        self.write(name, [(key, None, {field_name: cell})])
        return cell.shape[0]

    def grown(self, old, dtype, shape, data):
        before = old.blob.data if old else b""
        if dtype in BYTE_STRINGS:
            return Cell(dtype, (len(before + data),), Blob(before + data))
        if not shape:
            if old is None or not old.shape:
                raise Fault("SHAPE")
            step = size_of(dtype, old.shape[1:])
            if step == 0 or len(data) % step:
                raise Fault("SHAPE")
            shape = [len(data) // step, *old.shape[1:]]
        if size_of(dtype, shape) != len(data):
            raise Fault("SHAPE")
        if old is None:
            return Cell(dtype, tuple(shape), Blob(data))
        if not old.shape or list(old.shape[1:]) != shape[1:]:
            raise Fault("SHAPE")
        return Cell(dtype, (old.shape[0] + shape[0], *shape[1:]), Blob(before + data))

    def shared(self, cell):
        rows = itertools.chain.from_iterable(p.rows.values() for p in self.partitions.values())
        return sum(other.blob is cell.blob for row in rows for other in row.cells.values()) > 1

    def do_kv_clear(self, words):
        name = words.name()
        if not words:
            words.finish()
            partition = self.partition(name)
            self.revision += partition is not None
            return len(self.partitions.pop(name, Partition(0)).rows)
        kind, items = words.rows({"KEYS", "ROWS", "WHERE"})
        fields = words.options(FIELDS=words.fields).get("FIELDS")
        words.finish()
        partition = self.partition(name)
        if partition is None:
            return 0
        self.revision += 1
        removed = 0
        for row in {row.index: row for row in partition.find(kind, items) if row}.values():
            if fields is None:
                del partition.rows[row.key]
                partition.removed.append((self.revision, row.key, row.made))
                removed += 1
                continue
            row.touched = self.revision
            for field in fields:
                if row.cells.pop(field, None) is not None:
                    removed += 1
                    row.revision = self.revision
        return removed

    # -------------------------------------------------------------------------------------------------------- reads

    def do_kv_mget(self, words):
        name = words.name()
        kind, items = words.rows({"KEYS", "ROWS", "WHERE"})

        def pad():
            side = words.word()
            if side not in ("LEFT", "RIGHT"):
                words.fail("ERR")
            return side, words.next()

        given = words.options(FIELDS=words.fields, FORMAT=words.word, PAD=pad, DICT=True)
        form = given.get("FORMAT", "COLUMNS")
        if form not in ("COLUMNS", "ROWS", "VALUES", "SAFETENSORS"):
            words.fail("ERR")
        if "PAD" in given and form in ("ROWS", "VALUES") or "DICT" in given and form != "COLUMNS":
            words.fail("ERR")
        words.finish()
        partition = self.existing(name)
        rows, fields, held = partition.find(kind, items), given.get("FIELDS"), partition.fields()
        by_cell = form in ("ROWS", "VALUES")
        if None in rows and not by_cell:
            raise Fault("NOKEY")
        if fields is not None and not all(field in held for field in fields):
            raise Fault("NOFIELD")
        if by_cell:
            return [row and self.one_row(row, fields, form) for row in rows]
        if fields is not None and not all(row.ready(fields) for row in rows):
            raise Fault("NOTREADY")
        if not rows:
            return [] if form == "COLUMNS" else SafetensorsFile({}, {}, name, [])
        chosen = [field for field in held if all(row.ready([field]) for row in rows)] if fields is None else fields
        cells = {field: [row.cells[field] for row in rows] for field in chosen}
        if any(len({len(cell.shape) for cell in column}) > 1 for column in cells.values()):
            raise Fault("SHAPE", *["ERR"] * ("PAD" in given))
        side = given.get("PAD")
        if form == "SAFETENSORS":
            return self.safetensors(name, [row.key for row in rows], cells, side)

        def entry(field, dtype, column):
            return self.dense_entry(field, dtype, column, side)

        entries = [entry(field, held[field], column) for field, column in cells.items()]
        if "DICT" in given:
            shared = [Shared(column, held[field], field, entry) for field, column in cells.items()]
            return SharedColumns(dict(zip(cells, shared, strict=True)), fields is not None)
        return entries if fields is not None else ByName(entries)

    def one_row(self, row, fields, form):
        entries = []
        for field in row.cells if fields is None else fields:
            if row.ready([field]):
                cell = row.cells[field]
                data = cell.blob.data if form == "ROWS" else Texts(cell.dtype, cell.blob.data)
                entries.append([field, cell.dtype.encode(), list(cell.shape), data])
        return entries if fields is not None else ByName(entries)

    def dense_entry(self, field, dtype, column, side):
        """Returns [name, dtype, shape, shapes, data] for cells of one rank."""
        shape = common(column)
        ragged = -1 in shape or dtype in BYTE_STRINGS
        if side and dtype not in BYTE_STRINGS and ragged:
            shape, data = padded(dtype, column, *side)
        else:
            data = b"".join(cell.blob.data for cell in column)
        return [field, dtype.encode(), [len(column), *shape], shapes_blob(column) if ragged else None, data]

    def safetensors(self, name, keys, cells, side):
        tensors, types = {}, {}
        for field, column in cells.items():
            dtype = column[0].dtype
            _, _, shape, shapes, data = self.dense_entry(field, dtype, column, side)
            if dtype in BYTE_STRINGS:
                types[name_in_file(field).decode()] = dtype
            if shapes is None or -1 not in shape:
                tensors[name_in_file(field)] = (WORD_OF[dtype], shape, data)
            else:
                word = WORD_OF.get(dtype, "U8")
                tensors[name_in_file(field) + b".values"] = (word, [len(data) // ITEM[dtype]], data)
            if shapes is not None:
                tensors[name_in_file(field) + b".shapes"] = ("I64", [len(keys), len(shape) - 1], shapes)
        return SafetensorsFile(tensors, types, name, keys)

    def do_kv_tags(self, words):
        name = words.name()
        kind, items = words.rows({"KEYS", "ROWS", "WHERE"})
        words.finish()
        return [row and Tag(row.tag) for row in self.existing(name).find(kind, items)]

    def do_kv_fields(self, words):
        name = words.name()
        chosen = words.rows({"KEYS", "ROWS", "WHERE"}) if words else None
        by_row = chosen is not None and words.peek() == "SHAPES" and words.next()
        words.finish()
        partition = self.existing(name)
        rows = list(partition.rows.values()) if chosen is None else partition.find(*chosen)
        if None in rows:
            raise Fault("NOKEY")
        entries = []
        for field, dtype in partition.fields().items():
            if not rows or chosen is not None and not all(row.ready([field]) for row in rows):
                continue
            cells = [row.cells[field] for row in rows if field in row.cells]
            ready = [cell for cell in cells if cell.ready]
            shapes = [any_rank(ready or cells), any_rank(cells)]
            stored = sum(len(blob.data) for blob in {cell.blob for cell in cells})
            shapes += [] if ready else [None]  # no client can read it
            one_rank = len({len(cell.shape) for cell in cells}) == 1
            each = [packed([dim for cell in cells for dim in cell.shape]) if one_rank else None] if by_row else []
            entries.append([field, dtype.encode(), OneOf(*shapes), OneOf(len(ready), len(set(ready))), stored, *each])
        return ByName(entries)

    def filters(self, words, **more):
        """Reads MATCH and WHERE, among other options."""
        given = words.options(MATCH=words.next, WHERE=words.where, **more)
        pattern, where = given.get("MATCH", b"*"), given.get("WHERE", [])

        def chosen(row):
            return glob(pattern, row.key) and fits(where, row.tag)

        return given, chosen

    def do_kv_list(self, words):
        if not words:
            return Map({name: len(self.partitions[name].rows) for name in sorted(self.partitions)})
        name = words.name()
        given, chosen = self.filters(words, FIELDS=words.fields, FORMAT=words.word)
        lines = given.get("FORMAT", "MAP")
        if lines not in ("MAP", "LINES"):
            words.fail("ERR")
        words.finish()
        partition = self.partition(name)
        rows = partition.rows.values() if partition else []
        rows = [row for row in rows if chosen(row) and row.ready(given.get("FIELDS", []))]
        if lines == "MAP":
            return Map({row.key: Tag(row.tag) for row in rows})
        lines = Lines([(row.key, row.index, row.tag) for row in rows])
        return lines if partition else OneOf(lines, Map({}))

    def do_kv_scan(self, words):
        name = words.name()
        cursor = words.integer(0)
        given, chosen = self.filters(words, COUNT=lambda: words.integer(1))
        words.finish()
        partition = self.partition(name)
        if partition is None:
            return OneOf([b"0", Map({})], [0, Map({})])
        if cursor:
            raise Unspecified("a cursor that no SCAN gave")
        return Page({row.key: row.tag for row in partition.rows.values() if chosen(row)}, given.get("COUNT", 10))

    def do_kv_changes(self, words):
        name = words.name()
        since = words.integer(0)
        fields = words.options(FIELDS=words.fields).get("FIELDS", [])
        words.finish()
        partition = self.partition(name)
        if partition is None:
            return Changes(set(), {}, None, None)
        if since and since not in self.revisions:
            raise Unspecified("a revision that no KV.CHANGES gave")
        since = self.revisions.get(since, 0)
        rows = [row for row in partition.rows.values() if row.ready(fields)]
        if since < partition.made:
            return Changes({row.key for row in rows}, {row.key: row.tag for row in rows}, None, None)
        removed = [(key, made) for revision, key, made in partition.removed if revision > since]
        return Changes(
            {row.key for row in rows if row.revision > since},
            {row.key: row.tag for row in rows if row.touched > since},
            {key for key, made in removed if made <= since and key not in partition.rows},
            {key for key, made in removed},
        )

    def do_kv_wait(self, words):
        name = words.name()
        kind, items = words.rows({"KEYS", "ROWS"})
        given = words.options(FIELDS=words.fields, TIMEOUT=lambda: words.integer(0))
        if given.keys() != {"FIELDS", "TIMEOUT"}:
            words.fail("ERR")
        words.finish()
        partition = self.partition(name)
        rows = partition.find(kind, items) if partition else [None]
        if all(row and row.ready(given["FIELDS"]) for row in rows):
            return 1
        if not 0 < given["TIMEOUT"] <= 20:
            raise Unspecified("too long for this test")
        return 0

    # ---------------------------------------------------------------------------------- what Redis has, on partitions

    def do_set(self, words):
        name, _ = words.next(), words.next()
        words.finish()
        if name in self.partitions:
            raise Fault("WRONGTYPE")
        self.strings.add(name)
        return b"OK"

    def do_del(self, words):
        removed = 0
        while words:
            name = words.next()
            removed += name in self.partitions or name in self.strings
            self.strings.discard(name)
            self.partitions.pop(name, None)
        self.revision += 1
        return removed

    def do_flushall(self, words):
        words.finish()
        self.partitions.clear()
        self.strings.clear()
        self.revision += 1
        return b"OK"


class SharedColumns(Reply):
    """SharedColumns({field: Shared}, whether in this order): MGET with DICT."""

    def accepts(self, got):
        columns, ordered = self.args
        if not isinstance(got, list):
            return False
        names = [entry[0] for entry in got]
        if names != list(columns) if ordered else sorted(names) != sorted(columns):
            return False
        return all(columns[entry[0]].accepts(entry) for entry in got)


def common(cells):
    """Returns the dims of cells of one rank, -1 if they differ; always -1 for a byte string."""
    if cells[0].dtype in BYTE_STRINGS:
        return [-1]
    return [dims[0] if len(set(dims)) == 1 else -1 for dims in zip(*(cell.shape for cell in cells), strict=True)]


def any_rank(cells):
    return common(cells) if len({len(cell.shape) for cell in cells}) == 1 else None


def padded(dtype, cells, side, value):
    """Returns (dims, bytes) of cells of one rank as one dense tensor."""
    fill = np.frombuffer(encode(dtype, value), np.uint8)
    dims = [max(sizes) for sizes in zip(*(cell.shape for cell in cells), strict=True)]
    result = np.empty((len(cells), *dims, len(fill)), np.uint8)
    result[:] = fill
    for i, cell in enumerate(cells):
        slices = tuple(
            slice(most - dim, most) if side == "LEFT" else slice(0, dim)
            for dim, most in zip(cell.shape, dims, strict=True)
        )
        result[(i, *slices)] = np.frombuffer(cell.blob.data, np.uint8).reshape(*cell.shape, len(fill))
    return dims, result.tobytes()
