"""Random KV commands: most can succeed in the model's state, a fair share is wrong on purpose."""

import json

from kv_replies import WORD_OF
from kv_words import BYTE_STRINGS, INTEGER_RANGE, ITEM, name_in_file
from tensors import TORCH, packed

PARTITIONS = [b"p", b"q", "é".encode()]
STRING = b"string"  # a name that holds a string now and then
KEYS = [b"a", b"b", b"c", b"d", b"e", b"k 1", b"x*", b'"q"', "漢字".encode(), b"0", b"3", b"17"]
FIELDS = {  # a field's usual dtype, and the rank
    b"f": ("float32", 1),
    b"u": ("uint8", 1),
    b"h": ("int16", 2),
    b"b": ("bfloat16", 0),
    b"s": ("utf8", 1),
    b"j.son": ("json", 1),
    b"m": ("bool", 1),
    "ü".encode(): ("float8_e4m3fn", 3),
    b"f.values": ("int16", 1),  # these are escaped in a safetensors file
    b"f.shapes%": ("json", 1),
    b"__keys__": ("utf8", 1),
    b"%": ("uint8", 0),
}
BAD_NAMES = [b"", b"\xff", b"a\nb", b"\x7f", "\x85".encode(), b"n" * 513, b"\xed\xa0\x80"]
DTYPES = [*TORCH, *BYTE_STRINGS]
ALIASES = {"float32": "FLOAT", "float64": "Double", "bool": "BOOL", "utf8": "string"}
BAD_NUMBERS = [b"", b"x", b"1.5", b"0x1", b"1 ", b"nan"]
BAD_TAGS = [
    b"", b"[]", b"1", b"{", b'{"a":1,}', b"{'a':1}", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":01}', b"{} {}", b"null",
    b'{"a":' * 33 + b"1" + b"}" * 33, b'{"a":"' + b"x" * 70000 + b'"}', b'{"a":"\n"}', b'{"a":+1}',
]  # fmt: skip
TAG_NAMES = ["a", "b", "s", "o", "é", ""]
TAG_VALUES = [0, 1, 2, 3, -1, 0.5, 2.5, 1e300, 9007199254740993, 2**64, 2**64 + 1, 2.0**64, True, False, None, "x", "xy", "é", "1", "", 'q"\\\n',
              [], [1, None, {"a": None}], {}, {"b": 1}, {"b": None}, {"b": {"c": 2}}, {"c": [True]}, {"b": {"c": None}},
              {"c": 0}, {"b": "x", "c": None}]  # fmt: skip
WHERE_VALUES = [b"0", b"1", b"2", b"2.5", b"5e-1", b"-1", b"9007199254740992", b"9007199254740993",
                b"18446744073709551616", b"18446744073709551617", b"18446744073709551616.0", b"x", b"xy",
                b"xyz", b"", "é".encode(), b"true", b"false", b"null", b"nan", b"01", b"[1]", b"{}", b"1 "]  # fmt: skip
IN_VALUES = [b"[]", b"[1,2]", b"[18446744073709551617,1.8446744073709552e19]", b'["x","xy"]', b"[true,0.5]",
             b'[1.0,"1",false,null,[],{}]', b' [ "\\u00e9" ] ']  # fmt: skip
GLOBS = [b"*", b"?", b"[a-c]", b"[^a-c]*", b"[^0-9]*", b"a*", b"*1*", b"x\\*", b"*[0-9]", b"??", b"", b"*\\"]
VALUES_OF_FLOATS = [b"0.5", b"-1", b"0", b"3", b"1e2", b"-0.25", b"1.0", b"0.1", b"16"]
VALUES_OF_FLOATS_MORE = [*VALUES_OF_FLOATS, b"nan", b"inf", b"-inf", b"1e39", b"70000", b"1e400", b"1e-07", b"-0.0"]

EVEN_OR_ODD = bytes(i & 1 for i in range(256))


class Chooser:
    def __init__(self, random, model):
        self.random, self.model = random, model
        self.wrong = False
        self.noise = random.randbytes(1 << 16)

    # ------------------------------------------------------------------------------------------------------ small words

    def chance(self, share):
        return self.random.random() < share

    def bad(self, share=0.2):
        """Returns True now and then in a command that may be wrong, never in another."""
        return self.wrong and self.chance(share)

    def pick(self, items):
        return self.random.choice(items)

    def case(self, word):
        return word if self.chance(0.9) else word.lower()

    def partition(self):
        if self.bad(0.03):
            return self.pick([*BAD_NAMES, STRING])
        if self.wrong and self.chance(0.1):
            return b"nowhere"
        return self.random.choices(PARTITIONS, [6, 3, 1])[0]

    def rows_of(self, name):
        partition = self.model.partitions.get(name)
        return list(partition.rows.values()) if partition else []

    def key(self, name, there=0.6):
        if self.bad(0.08):
            return self.pick(BAD_NAMES)
        rows = self.rows_of(name)
        if rows and self.chance(0.04):  # a key that blocks NEW
            return str(self.model.partitions[name].next_index + self.random.randint(0, 3)).encode()
        return self.pick(rows).key if rows and self.chance(there) else self.pick(KEYS)

    def keys(self, name, there=0.6, once=False, most=5):
        count = self.random.randint(1, most)
        keys = [self.key(name, there) for _ in range(count)]
        return list(dict.fromkeys(keys)) if once and not self.bad() else keys

    def held(self, name):
        partition = self.model.partitions.get(name)
        return partition.fields() if partition else {}

    def field(self, name=None):
        if self.bad(0.08):
            return self.pick(BAD_NAMES)
        held = list(self.held(name)) if name else []
        return self.pick(held) if held and self.chance(0.8) else self.pick(list(FIELDS))

    def fields(self, name, most=3):
        fields = list(dict.fromkeys(self.field(name) for _ in range(self.random.randint(1, most))))
        return self.items(fields)

    def items(self, items):
        if self.bad(0.1):
            return [self.pick([b"0", b"-1", b"x", str(len(items) + 9).encode()]), *items]
        if self.chance(0.2):
            blob = b"\n".join(items) + self.pick([b"", b"\n"])
            if self.bad():
                blob = self.pick([b"", b"\n", b"\n" + blob, blob + b"\n\n"])
            return [self.case(b"LINES"), blob]
        return [len(items), *items]

    def dtype(self, field, name, share=0.85):
        usual = FIELDS.get(field, ("int64", 1))[0]
        held = self.held(name).get(field)
        if held is None:
            return usual if self.chance(share) else self.pick(DTYPES)
        return self.pick(DTYPES) if self.bad(0.15) else held

    def dtype_word(self, dtype):
        if self.bad(0.08):
            return self.pick([b"int128", b"", b"SAMEE", b"\xff"])
        word = ALIASES.get(dtype, dtype) if self.chance(0.05) else dtype
        return word.encode() if self.chance(0.9) else word.upper().encode()

    def shape(self, field, rank=None):
        rank = FIELDS.get(field, ("int64", 1))[1] if rank is None else rank
        if self.chance(0.03):
            rank = self.random.randint(0, 5)
        shape = [self.random.choices([0, 1, 2, 3, 4, 7], [1, 2, 4, 4, 2, 1])[0] for _ in range(rank)]
        if rank and self.chance(0.012):
            shape = [1] * rank
            shape[self.random.randrange(rank)] = self.pick([1100, 4097, 5000, 17000])
        return shape

    def noise_of(self, count, dtype=None):
        start = self.random.randrange(1 << 15)
        data = (self.noise * (1 + (start + count) // len(self.noise)))[start : start + count]
        return data.translate(EVEN_OR_ODD) if dtype == "bool" else data

    def size(self, dtype, shape):
        count = ITEM[dtype]
        for dim in shape:
            count *= dim
        return count

    def blob(self, count, dtype=None):
        if self.bad():
            count = max(0, count + self.pick([-1, 1, 8, -count]))
        return self.noise_of(count, dtype)

    def string(self):
        return self.noise_of(self.pick([0, 1, 2, 3, 9, 30]) if self.chance(0.985) else self.pick([4095, 4097, 20000]))

    def dims(self, shape):
        if self.bad(0.1):
            return [*shape, self.pick([b"-1", b"x", b"", b"2.5", 1 << 40, 1 << 62])]
        if self.bad(0.05):
            return [1] * 33
        return shape

    def tag(self):
        if self.bad():
            return self.pick(BAD_TAGS)
        names = self.random.sample(TAG_NAMES, self.random.randint(0, 3))
        separators = (",", ":") if self.chance(0.8) else (" , ", " : ")
        objects = [value for value in TAG_VALUES if isinstance(value, dict)]
        tag = {name: self.pick(objects if name == "o" and self.chance(0.8) else TAG_VALUES) for name in names}
        text = json.dumps(tag, ensure_ascii=self.chance(0.5), separators=separators)
        return text.encode() if self.chance(0.99) else b'{"a":' * 32 + b"1" + b"}" * 32

    def where(self):
        count = self.random.choices([1, 2, 3], [6, 2, 1])[0]
        words = [b"WHERE", self.pick([b"0", b"-1", b"x", b"9"]) if self.bad() else count]
        for _ in range(count):
            name = self.pick(BAD_NAMES) if self.bad(0.1) else self.pick(TAG_NAMES[:-1]).encode()
            op = self.pick([b"=", b"=", b"!=", b"<", b"<=", b">", b">=", b"PREFIX", b"IN"])
            if self.bad(0.1):
                op = self.pick([b"==", b"~", b"", b"LIKE", b"<>"])
            if op == b"IN":
                value = self.pick([b"1", b"{}", b"[", b"", b"[1,]", b"[nan]"]) if self.bad() else self.pick(IN_VALUES)
            else:
                value = self.pick(WHERE_VALUES)
            words += [name, op, value]
        return words

    def rows(self, name, where=True, there=0.97, once=False):
        """Returns a choice of rows in one of the forms; most of them exist, except now and then."""
        rows = self.rows_of(name)
        if self.bad(0.05):
            return [self.pick([b"KEY", b"NEW", b"*", b"ROWS"]), 1, b"a"]
        kind = self.random.choices(["keys", "rows", "where", "all"], [5, 3, 2 if where else 0, 2])[0]
        if kind == "where":
            return self.where()
        if not rows or kind == "keys" and (self.bad() or self.chance(0.05)):
            return [b"KEYS", *self.items(self.keys(name, 0.6, once))]
        count = self.random.randint(1, min(8, len(rows)))
        chosen = rows if kind == "all" else self.random.sample(rows, count)
        if not once and self.chance(0.1):
            chosen = [*chosen, self.pick(chosen)]
        if self.bad() or not self.chance(there):
            where_in = self.random.randrange(len(chosen) + 1)
            if kind == "rows":
                chosen = [*chosen[:where_in], None, *chosen[where_in:]]
        if kind != "rows":
            return [self.case(b"KEYS"), *self.items([row.key for row in chosen])]
        blob = packed([-1 if row is None else row.index for row in chosen])
        return [self.case(b"ROWS"), blob + b"x" if self.bad(0.1) else blob]

    def shuffled(self, *groups):
        """Returns options in any order; each group is the words of one option, or nothing."""
        groups = [group for group in groups if group]
        if groups and self.bad(0.05):
            groups.append(self.pick([[b"WAT"], [b"FIELDS"], [b"BLOB", b""], [b"COUNT", b"1"], self.pick(groups)]))
        self.random.shuffle(groups)
        return [word for group in groups for word in group]

    def maybe(self, share, *words):
        return list(words) if self.chance(share) else []

    # --------------------------------------------------------------------------------------------------------- commands

    def cell(self, field, name):
        dtype = self.dtype(field, name)
        words = [self.dtype_word(dtype)]
        if dtype in BYTE_STRINGS:
            return [*words, self.case(self.pick([b"BLOB", b"VALUES"])), self.string()]
        shape = self.shape(field)
        words += self.dims(shape)
        count = self.size(dtype, shape)
        if count // ITEM[dtype] <= 30 and self.chance(0.4):
            texts = [self.value(dtype) for _ in range(count // ITEM[dtype])]
            if self.bad():
                texts = self.pick([texts[1:], [*texts, b"1"]])
            return [*words, self.case(b"VALUES"), *texts]
        return [*words, self.case(b"BLOB"), self.blob(count, dtype)]

    def value(self, dtype):
        if self.bad(0.1):
            return self.pick([b"", b"abc", b"0x10", b"1,5", b"None", b"2.5e", b"1 "])
        if dtype == "bool":
            return self.pick([b"2", b"-1"]) if self.bad(0.1) else self.pick([b"0", b"1", b"true", b"false"])
        if dtype in INTEGER_RANGE:
            low, high = INTEGER_RANGE[dtype]
            if self.bad(0.1):
                return str(self.pick([low - 1, high + 1, 1 << 70])).encode()
            return str(self.pick([low, high, 0, 1, 2, 42])).encode()
        return self.pick(VALUES_OF_FLOATS if dtype.startswith("float8") else VALUES_OF_FLOATS_MORE)

    def put(self):
        name = self.partition()
        key = self.key(name, 0.5)
        fields = list(dict.fromkeys(self.field() for _ in range(self.random.choice([0, 1, 1, 2, 3]))))
        groups = []
        for field in fields:
            if self.chance(0.12):
                groups.append([self.case(b"FIELD"), field, b"SAME", self.key(name, 0.95)])
            else:
                groups.append([self.case(b"FIELD"), field, *self.cell(field, name)])
        if not groups or self.chance(0.4):
            groups.append([self.case(b"TAG"), self.tag()])
        if self.bad(0.03):
            groups = []
        groups += self.returned()
        return [b"KV.PUT", name, key, *self.shuffled(*groups)]

    def distinct(self, count):
        """Returns (m, DICT or None): the number of rows that a column sends for `count`."""
        if not self.chance(0.35):
            return count, None
        most = self.random.randint(1, count)
        where = [*range(most), *(self.random.randrange(most) for _ in range(count - most))]
        self.random.shuffle(where)
        if self.bad():
            where[self.random.randrange(count)] = self.pick([most, -1, most + 5, 1 << 62])
            return most, packed(where[:-1] if self.chance(0.2) else where)
        return most, packed(where) + (b"x" if self.bad(0.1) else b"")

    def column(self, field, name, count):
        dtype = self.dtype(field, name)
        most, where = self.distinct(count)
        words = [self.case(b"COLUMN"), field, self.dtype_word(dtype)]
        rank = FIELDS.get(field, ("", 1))[1]
        if dtype in BYTE_STRINGS:
            values = [self.string() for _ in range(most)]
            sizes, data = [len(value) for value in values], b"".join(values)
            if self.bad(0.1):
                sizes[0] = self.pick([-1, sizes[0] + 1, 1 << 62])
            words += [b"SHAPES", 2 if self.bad(0.1) else 1, packed(sizes)]
            if self.bad(0.05):
                words = words[:3]
        elif rank and self.chance(0.4):
            shapes = [self.shape(field, rank) for _ in range(most)]
            shapes = [shape if len(shape) == rank else [1] * rank for shape in shapes]
            data = b"".join(self.noise_of(self.size(dtype, shape), dtype) for shape in shapes)
            shapes = packed(shapes)
            if self.bad(0.1):
                shapes = self.pick([shapes[8:], shapes + packed([1]), shapes[1:], packed([-1]) + shapes[8:]])
            words += [b"SHAPES", self.pick([33, b"x", rank + 1]) if self.bad(0.1) else rank, shapes]
        else:
            shape = self.shape(field)
            words += self.dims(shape)
            data = self.noise_of(most * self.size(dtype, shape), dtype)
        if self.bad(0.1):
            data = self.pick([data[1:], data + b"x", data * 2])
        return [*words, *([self.case(b"DICT"), where] if where is not None else []), b"BLOB", data]

    def mput(self):
        name = self.partition()
        rows = self.rows_of(name)
        kind = self.random.choices(["new", "keys", "rows"], [4 if len(rows) < 14 else 1, 4, 3 if rows else 0.2])[0]
        if kind == "new":
            count = self.random.randint(1, 5)
            words = [self.case(b"NEW"), self.pick([b"0", b"-1", b"x"]) if self.bad(0.1) else count]
        elif kind == "keys" or not rows:
            keys = self.keys(name, 0.5, once=True)
            count, words = len(keys), [self.case(b"KEYS"), *self.items(keys)]
        else:
            chosen = self.random.sample(rows, self.random.randint(1, min(6, len(rows))))
            indexes = [row.index for row in chosen]
            if self.bad():
                indexes[-1] = self.pick([indexes[0], -1, 1 << 40])
            count, words = len(indexes), [self.case(b"ROWS"), packed(indexes)]
            if self.bad(0.05):
                words = self.pick([[b"ROWS", packed(indexes)[:-1]], self.where()])
        fields = list(dict.fromkeys(self.field() for _ in range(self.random.choice([0, 1, 1, 2, 3, 3]))))
        if fields and self.bad(0.05):
            fields.append(fields[0])
        groups, packed_fields = [], []
        for field in fields:
            if self.chance(0.15):
                packed_fields.append(field)
            else:
                groups.append(self.column(field, name, count))
        if packed_fields:
            groups.append([self.case(b"SAFETENSORS"), self.safetensors(packed_fields, name, count)])
        if self.chance(0.4):
            tags = [self.tag() for _ in range(count + (self.pick([-1, 1]) if self.bad(0.1) else 0))] or [b"{}"]
            groups.append([self.case(b"TAGS"), *self.items([tag.replace(b"\n", b" ") or b"!" for tag in tags])])
        return [b"KV.MPUT", name, *words, *self.shuffled(*groups, *self.returned())]

    def returned(self):
        what = [b"FIELDS", b"TAGS", b"BOTH"]
        return [[self.case(b"RETURN"), b"x" if self.bad(0.1) else self.case(self.pick(what))]] if self.chance(0.3) else []

    def safetensors(self, fields, name, count):
        tensors, metadata = {}, {}
        for field in fields:
            if not all(32 <= byte < 127 for byte in field) and field not in FIELDS:
                continue
            text, dtype = (field if self.bad(0.1) else name_in_file(field)).decode(), self.dtype(field, name)
            rank = FIELDS.get(field, ("", 1))[1]
            shape = self.shape(field, rank)
            if dtype in BYTE_STRINGS or rank and len(shape) == rank and self.chance(0.5):
                if dtype in BYTE_STRINGS:
                    metadata[text], rank = dtype, 1
                shapes = [(self.shape(field, rank) + [2] * rank)[:rank] for _ in range(count)]
                data = b"".join(self.noise_of(self.size(dtype, shape), dtype) for shape in shapes)
                tensors[text + ".values"] = (WORD_OF.get(dtype, "U8"), [len(data) // ITEM[dtype]], data)
                tensors[text + ".shapes"] = ("I64", [count, rank], packed(shapes))
            else:
                shape = [count + 1 if self.bad(0.1) else count, *shape]
                tensors[text] = (WORD_OF[dtype], shape, self.blob(self.size(dtype, shape), dtype))
                if self.chance(0.2):
                    tensors[text + ".shapes"] = ("I64", [count, 1], packed([1] * count))
        if metadata or self.chance(0.3):
            metadata["__partition__"] = "x"
            metadata["framework"] = "pt"
        items = list(tensors.items())
        self.random.shuffle(items)
        header, data = {"__metadata__": metadata} if metadata else {}, b""
        for text, (word, shape, raw) in items:
            begin = len(data) + (1 if self.bad(0.05) else 0)
            word = self.pick(["U16", "C64", "F4"]) if self.bad(0.05) else word
            header[text] = {"dtype": word, "shape": shape, "data_offsets": [begin, begin + len(raw)]}
            data += raw
        head = json.dumps(header, ensure_ascii=self.chance(0.5)).encode()
        head += b" " * (-len(head) % 8)
        if self.bad(0.1):
            head = self.pick([b"", head[:-10], b"[]", b"{"])
        if self.bad(0.1):
            data = self.pick([data[:-1], data + b"x", data * 2])
        size = len(head) + (1 << 40 if self.bad(0.05) else 0)
        return size.to_bytes(8, "little") + head + data

    def append(self):
        name = self.partition()
        key = self.key(name, 0.85)
        field = self.field(name)
        row = next((row for row in self.rows_of(name) if row.key == key), None)
        old = row and row.cells.get(field)
        dtype = self.dtype(field, name)
        if dtype in BYTE_STRINGS:
            words = [self.dtype_word(dtype), b"BLOB", self.string()]
        else:
            shape = self.shape(field) or ([2] if self.chance(0.7) else [])
            if old and not self.bad():
                shape = [self.pick([0, 1, 2, 3]), *old.shape[1:]] if old.shape else [1]
            if self.chance(0.01):
                shape[:1] = [self.pick([5000, 17000])]
            data = self.blob(self.size(dtype, shape), dtype)
            words = [self.dtype_word(dtype), *([] if old and self.chance(0.2) else self.dims(shape)), b"BLOB", data]
        more = self.maybe(0.3, self.case(b"MORE"))
        return [b"KV.APPEND", name, key, *self.shuffled(more, [self.case(b"FIELD"), field, *words])]

    def mget(self):
        name = self.partition()
        form = self.pick([None, None, b"columns", b"rows", b"values", b"safetensors"])
        if self.bad(0.05):
            form = self.pick([b"row", b"", b"map"])
        fields = [self.case(b"FIELDS"), *self.fields(name)] if self.chance(0.5) else []
        dense = form in (None, b"columns", b"safetensors")
        pad = []
        if self.chance(0.5) and dense or self.bad(0.05):
            value = self.pick([b"0", b"1"] * 6 + [b"-1", b"0.5", b"300", b"nan", b"inf", b"70000", b"abc"])
            pad = [self.case(b"PAD"), self.pick([b"left", b"RIGHT", b"right", b"up" if self.bad() else b"Left"]), value]
        form_words = [self.case(b"FORMAT"), form.upper() if self.chance(0.1) else form] if form is not None else []
        dictionary = self.maybe(0.3 if form in (None, b"columns") else 0.1 if self.wrong else 0, self.case(b"DICT"))
        rows = self.rows(name)
        ready = [(row, field) for row in self.rows_of(name) for field in row.cells if row.ready([field])]
        if ready and dense and self.chance(0.5):  # rows that have a field, so that there is data to compare
            field = self.pick(ready)[1]
            there = [row for row, other in ready if other == field]
            there = self.random.sample(there, self.random.randint(1, len(there)))
            rows = [b"ROWS", packed([row.index for row in there])]
            fields = [b"FIELDS", 1, field] if self.chance(0.7) else []
        return [b"KV.MGET", name, *rows, *self.shuffled(fields, form_words, pad, dictionary)]

    def tags(self):
        name = self.partition()
        return [b"KV.TAGS", name, *self.rows(name, there=0.8)]

    def clear(self):
        name = self.partition()
        if self.chance(0.1 + 0.1 * (len(self.rows_of(name)) > 16)):
            return [b"KV.CLEAR", name]
        fields = [self.case(b"FIELDS"), *self.fields(name)] if self.chance(0.5) else []
        return [b"KV.CLEAR", name, *self.rows(name, there=0.8), *self.shuffled(fields)]

    def fields_command(self):
        name = self.partition()
        shapes = [self.case(b"SHAPES")] if self.chance(0.5) else []
        return [b"KV.FIELDS", name, *([*self.rows(name), *shapes] if self.chance(0.6) else shapes if self.bad(0.1) else [])]

    def list_command(self):
        if self.chance(0.15):
            return [b"KV.LIST"]
        name = self.partition()
        form = self.pick([b"map", b"lines", b"LINES", b"rows" if self.bad() else b"Map"])
        return [b"KV.LIST", name, *self.shuffled(
            self.maybe(0.3, b"MATCH", self.pick(GLOBS)), self.where() if self.chance(0.4) else [],
            [b"FIELDS", *self.fields(name, 2)] if self.chance(0.4) else [], self.maybe(0.5, b"FORMAT", form),
        )]  # fmt: skip

    def scan_options(self):
        return self.shuffled(
            self.maybe(0.3, b"MATCH", self.pick(GLOBS)), self.where() if self.chance(0.3) else [],
            self.maybe(0.6, b"COUNT", self.pick([b"0", b"-1", b"x"]) if self.bad() else self.pick([1, 2, 3, 10, 1000])),
        )  # fmt: skip

    def scan(self):
        return [b"KV.SCAN", self.partition(), self.pick(BAD_NUMBERS) if self.bad(0.1) else 0, *self.scan_options()]

    def changes(self):
        name = self.partition()
        since = self.pick([0, *list(self.model.revisions)[-8:]])
        if self.bad(0.1):
            since = self.pick([*BAD_NUMBERS, -1])
        fields = [self.case(b"FIELDS"), *self.fields(name, 2)] if self.chance(0.4) else []
        return [b"KV.CHANGES", name, since, *self.shuffled(fields)]

    def wait(self):
        name = self.partition()
        rows = self.where() if self.bad(0.05) else self.rows(name, where=False, there=0.8)
        limit = [b"TIMEOUT", self.pick([*BAD_NUMBERS, -1]) if self.bad(0.1) else self.pick([1, 1, 0])]
        return [b"KV.WAIT", name, *rows, *self.shuffled([b"FIELDS", *self.fields(name, 2)], limit)]

    def other(self):
        name = self.partition()
        return self.pick([
            [b"KV.NOSUCH", name], [b"KV.PUT"], [b"KV.PUT", name], [b"KV.MGET", name], [b"KV.MPUT", name], [b"KV.TAGS"],
            [b"KV.WAIT", name], [b"KV.CHANGES", name], [b"KV.SCAN", name], [b"KV.FIELDS"], [b"KV.CLEAR"],
            [b"KV.APPEND", name, b"a"],
            [b"SET", STRING, self.string()], [b"SET", STRING, b"x"],
            [b"SET", name if name in self.model.partitions else STRING, b"x"],
            [b"KV.LIST", STRING], [b"KV.CLEAR", STRING], [b"KV.PUT", STRING, b"a", b"TAG", b"{}"], [b"FLUSHALL"],
            [b"KV.MGET", STRING, b"KEYS", 1, b"a"], [b"KV.CHANGES", STRING, 0], [b"KV.SCAN", STRING, 0],
            [b"KV.FIELDS", STRING],
            [b"KV.TAGS", STRING, b"KEYS", 1, b"a"], [b"KV.MPUT", STRING, b"NEW", 1],
            [b"KV.WAIT", STRING, b"KEYS", 1, b"a", b"FIELDS", 1, b"f", b"TIMEOUT", 1],
            [b"KV.APPEND", STRING, b"a", b"FIELD", b"f", b"utf8", b"BLOB", b"x"],
        ])  # fmt: skip

    KINDS = {put: 24, mput: 15, append: 9, mget: 16, tags: 3, clear: 8, fields_command: 5, list_command: 6, scan: 2,
             changes: 4, wait: 3, other: 2}  # fmt: skip

    def command(self):
        """Returns the arguments of one command, as bytes."""
        self.wrong = self.chance(0.25)
        kind = self.random.choices(list(self.KINDS), list(self.KINDS.values()))[0]
        args = [word if isinstance(word, bytes) else str(word).encode() for word in kind(self)]
        return args

    def damaged(self, args):
        """Returns the command with one argument dropped, doubled, or two exchanged."""
        args = list(args)
        i, j = (self.random.randrange(1, len(args)) for _ in range(2)) if len(args) > 1 else (0, 0)
        how = self.random.randrange(3)
        if how == 0:
            del args[max(i, 1) : i + 1]
        elif how == 1:
            args.insert(i, args[j])
        else:
            args[i], args[j] = args[j], args[i]
        return args
