"""The reference library in both directions: its files are stored bit for bit, and it reads the server's files."""

import json

import numpy as np
import pytest
import redis
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from live_server import ROOT
from tensors import NUMPY, TORCH, columns, packed, random_tensor, same_bits, to_bytes
from pages import transcript

ROWS = 5
KEYS = ["a", 'quo"te', "back\\slash", "é漢", "4"]
DENSE = [(), (3,), (0,), (2, 0, 3), (2, 3), (70, 70)]
RAGGED = [
    [(2,), (0,), (7,), (1,), (3,)],
    [(2, 3), (0, 5), (4, 4), (1, 0), (90, 60)],
    [()] * ROWS,  # rank 0: one scalar per row, written in ragged form
]
TEXTS = {
    "utf8": ["hello", "", "é漢", "x" * 70000, "\n"],
    "json": ['{"a":1}', "[]", "null", '"é"', " 1 "],
    "bytes": [b"\x00\xff", b"", b"\r\n", b"a", bytes(range(256))],
}


def dense_fields(dtypes):
    """{name: (dtype, the rows' tensors)}"""
    return {
        f"{dtype} {shape}": (dtype, [random_tensor(dtype, shape, seed) for seed in range(ROWS)])
        for dtype in dtypes
        for shape in DENSE
    }


def ragged_fields(dtypes):
    return {
        f"{dtype} ragged {which}": (dtype, [random_tensor(dtype, shape, seed) for seed, shape in enumerate(shapes)])
        for dtype in dtypes
        for which, shapes in enumerate(RAGGED)
    }


def text_fields():
    """{name: (dtype, the rows' bytes)}"""
    return {
        f"{dtype} text": (dtype, [text if isinstance(text, bytes) else text.encode() for text in texts])
        for dtype, texts in TEXTS.items()
    }


def torch_tensors(dense, ragged, texts):
    """Returns all fields as torch tensors of one file."""
    tensors = {name: torch.stack(rows) for name, (_, rows) in dense.items()}
    for name, (dtype, rows) in ragged.items():
        tensors[name + ".values"] = torch.cat([row.reshape(-1) for row in rows])
        tensors[name + ".shapes"] = torch.tensor([row.shape for row in rows], dtype=torch.int64).reshape(ROWS, -1)
    for name, (_, rows) in texts.items():
        tensors[name + ".values"] = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8)
        tensors[name + ".shapes"] = torch.tensor([[len(row)] for row in rows])
    return tensors


def save(library, tensors, texts):
    metadata = {name: dtype for name, (dtype, _) in texts.items()} | {"made by": library}
    if library == "torch":
        return safetensors.torch.save(tensors, metadata)
    return safetensors.numpy.save({name: tensor.numpy() for name, tensor in tensors.items()}, metadata)


def dtypes_of(library):
    return list(TORCH) if library == "torch" else NUMPY


def assert_columns(reply, fields):
    got = columns(reply)
    assert sorted(got) == sorted(fields)
    for name, (dtype, rows) in fields.items():
        got_dtype, shape, shapes, data = got[name]
        wanted = [(len(row),) if isinstance(row, bytes) else tuple(row.shape) for row in rows]
        assert got_dtype == dtype, name
        assert [tuple(row) for row in shapes or [shape[1:]] * ROWS] == wanted, name
        assert data == b"".join(row if isinstance(row, bytes) else to_bytes(row) for row in rows), name


def put_by_columns(r, partition, fields):
    arguments = ["KV.MPUT", partition, "KEYS", ROWS, *KEYS]
    for name, (dtype, rows) in fields.items():
        shapes = [(len(row),) if isinstance(row, bytes) else tuple(row.shape) for row in rows]
        data = b"".join(row if isinstance(row, bytes) else to_bytes(row) for row in rows)
        arguments += ["COLUMN", name, dtype, "SHAPES", len(shapes[0]), packed(shapes), "BLOB", data]
    assert r.execute_command(*arguments)[0] == ROWS


def get_file(r, partition, *options):
    return r.execute_command("KV.MGET", partition, "KEYS", ROWS, *KEYS, *options, "FORMAT", "safetensors")


def load(library, file):
    """{name: tensor of torch}"""
    if library == "torch":
        return safetensors.torch.load(file)
    return {name: torch.from_numpy(array.copy()) for name, array in safetensors.numpy.load(file).items()}


def assert_tensors(got, wanted):
    assert sorted(got) == sorted(wanted)
    for name, tensor in wanted.items():
        assert same_bits(got[name], tensor), name


def test_the_examples_of_the_page_run():
    done = transcript("--check", ROOT / "docs/safetensors.md")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_the_librarys_files_are_read_back_bit_for_bit(r, library):
    dtypes = dtypes_of(library)
    dense, ragged, texts = dense_fields(dtypes), ragged_fields(dtypes), text_fields()
    file = save(library, torch_tensors(dense, ragged, texts), texts)
    new, indexes = r.execute_command("KV.MPUT", "p", "KEYS", ROWS, *KEYS, "SAFETENSORS", file)
    assert (new, indexes) == (ROWS, packed(range(ROWS)))
    assert_columns(r.execute_command("KV.MGET", "p", "KEYS", ROWS, *KEYS), dense | ragged | texts)
    # For existing rows, and for rows with keys made by the server.
    assert r.execute_command("KV.MPUT", "p", "ROWS", indexes, "SAFETENSORS", file)[0] == 0
    new, indexes = r.execute_command("KV.MPUT", "p", "NEW", ROWS, "SAFETENSORS", file)
    assert_columns(r.execute_command("KV.MGET", "p", "ROWS", indexes), dense | ragged | texts)


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_the_library_reads_the_servers_files(r, library):
    dtypes = dtypes_of(library)
    dense, ragged, texts = dense_fields(dtypes), ragged_fields(dtypes), text_fields()
    put_by_columns(r, "p", dense | ragged | texts)
    wanted = torch_tensors(dense, ragged, texts)
    for name in [name for name in ragged if name.endswith("ragged 2")]:  # scalars, so the field is dense
        wanted[name] = wanted.pop(name + ".values")
        del wanted[name + ".shapes"]
    assert_tensors(load(library, get_file(r, "p")), wanted)


@pytest.mark.parametrize("library", ["torch", "numpy"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_fields_are_dense_tensors(r, library, side):
    fields = {name: field for name, field in ragged_fields(dtypes_of(library)).items() if "ragged 2" not in name}
    texts = text_fields()
    put_by_columns(r, "p", fields | texts)
    wanted = torch_tensors({}, fields, texts)
    for name, (dtype, rows) in fields.items():
        del wanted[name + ".values"]
        largest = np.max([row.shape for row in rows], axis=0).tolist()
        wanted[name] = torch.ones([ROWS, *largest]).to(TORCH[dtype])
        for row, padded in zip(rows, wanted[name], strict=True):
            slices = [slice(size - n, size) if side == "left" else slice(n) for n, size in zip(row.shape, largest)]
            padded[tuple(slices)] = row
    file = get_file(r, "p", "PAD", side, "1")
    assert_tensors(load(library, file), wanted)
    # As input it is a dense field, and its shapes are ignored.
    r.execute_command("KV.MPUT", "q", "KEYS", ROWS, *KEYS, "SAFETENSORS", file)
    padded = {name: (dtype, list(wanted[name])) for name, (dtype, _) in fields.items()}
    assert_columns(r.execute_command("KV.MGET", "q", "KEYS", ROWS, *KEYS), padded | texts)


def test_the_server_accepts_its_own_files(r):
    fields = dense_fields(TORCH) | ragged_fields(TORCH) | text_fields()
    put_by_columns(r, "p", fields)
    file = get_file(r, "p")
    r.execute_command("KV.MPUT", "q", "KEYS", ROWS, *KEYS, "SAFETENSORS", file)
    assert_columns(r.execute_command("KV.MGET", "q", "KEYS", ROWS, *KEYS), fields)
    assert_tensors(load("torch", get_file(r, "q")), load("torch", file))


# Names with a meaning in a file, and what they are there.
HOSTILE = {
    "a": "a", "a.values": "a.values%", "a.shapes": "a.shapes%", "a.values.shapes": "a.values.shapes%", ".values": ".values%",
    "__num_turns__": "%__num_turns__", "__metadata__": "%__metadata__", "__partition__": "%__partition__",
    "__keys__": "%__keys__", "__.values": "%__.values%", "%": "%%%", "%%": "%%%%", "a%": "a%%", "%a": "%%a", "%__a": "%%__a",
    "a.values%": "a.values%%", "_": "_", "_.value": "_.value",
}  # fmt: skip


@pytest.mark.parametrize("kinds", ["d", "r", "t", "dr", "rd", "dtr"])
def test_fields_of_hostile_names_go_through_a_file(r, kinds):
    """As dense, ragged and byte-string fields, and as a mixture of these."""
    fields, tensors, texts = {}, {}, {}
    for seed, (name, there) in enumerate(HOSTILE.items()):
        kind = kinds[seed % len(kinds)]
        if kind == "t":
            fields[name] = texts[there] = ("utf8", [f"{name} {i}".encode() for i in range(ROWS)])
        else:
            shapes = [(3,)] * ROWS if kind == "d" else [(row + 1,) for row in range(ROWS)]
            fields[name] = ("int16", [random_tensor("int16", shape, seed) for shape in shapes])
        one = {there: fields[name]}
        tensors |= torch_tensors(*[one if kind == which else {} for which in "drt"])
    put_by_columns(r, "p", fields)
    file = get_file(r, "p")
    assert_tensors(load("torch", file), tensors)
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    types = {name: dtype for name, dtype in header["__metadata__"].items() if not name.startswith("__")}
    assert types == dict.fromkeys(texts, "utf8")
    for given in (file, save("torch", tensors, texts)):
        r.flushall()
        r.execute_command("KV.MPUT", "q", "KEYS", ROWS, *KEYS, "SAFETENSORS", given)
        assert_columns(r.execute_command("KV.MGET", "q", "KEYS", ROWS, *KEYS), fields)


def test_padded_fields_of_hostile_names_keep_their_names(r):
    fields = {name: ("int16", [random_tensor("int16", (row + 1,), row) for row in range(ROWS)]) for name in HOSTILE}
    put_by_columns(r, "p", fields)
    file = get_file(r, "p", "PAD", "right", "0")
    got = load("torch", file)
    assert sorted(got) == sorted([*HOSTILE.values(), *[name + ".shapes" for name in HOSTILE.values()]])
    r.execute_command("KV.MPUT", "q", "KEYS", ROWS, *KEYS, "SAFETENSORS", file)
    padded = {name: ("int16", list(got[there])) for name, there in HOSTILE.items()}
    assert_columns(r.execute_command("KV.MGET", "q", "KEYS", ROWS, *KEYS), padded)


def test_metadata_names_partition_keys_and_types(r, tmp_path):
    put_by_columns(r, "p", text_fields())
    path = tmp_path / "batch.safetensors"
    path.write_bytes(get_file(r, "p"))
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata.pop("__partition__") == "p"
    assert json.loads(metadata.pop("__keys__")) == KEYS
    assert metadata == {name: dtype for name, (dtype, _) in text_fields().items()}


def test_a_file_may_come_with_columns_and_tags(r):
    file = safetensors.numpy.save({"x": np.arange(4).reshape(2, 2)})
    r.execute_command(
        "KV.MPUT", "p", "KEYS", 2, "a", "b", "COLUMN", "y", "uint8", "BLOB", b"yz", "SAFETENSORS", file,
        "TAGS", 2, '{"n":1}', '{"n":2}',
    )  # fmt: skip
    [first, second] = r.execute_command("KV.MGET", "p", "WHERE", 1, "n", ">", 1, "FORMAT", "values")[0]
    assert sorted([first[0], second[0]]) == [b"x", b"y"]
    got = load("numpy", r.execute_command("KV.MGET", "p", "WHERE", 1, "n", ">", 1, "FORMAT", "safetensors"))
    assert_tensors(got, {"x": torch.tensor([[2, 3]]), "y": torch.tensor([ord("z")], dtype=torch.uint8)})
    assert load("torch", r.execute_command("KV.MGET", "p", "WHERE", 1, "n", ">", 2, "FORMAT", "safetensors")) == {}


@pytest.mark.parametrize(
    ("tensors", "error"),
    [
        ({"x": np.zeros((2, 3), np.uint16)}, "DTYPE .*'x'"),
        ({"x": np.zeros((2, 3), np.complex64)}, "DTYPE .*'x'"),
        ({"x": np.zeros((3, 2))}, "SHAPE .*'x'"),
        ({"x": np.zeros(())}, "SHAPE .*'x'"),
        ({"x.values": np.zeros(3), "x.shapes": np.array([[2], [2]])}, r"SHAPE .*'x\.values'"),
        ({"x.values": np.zeros(3), "x.shapes": np.array([[2], [1]], np.int32)}, r"SHAPE .*'x\.shapes'"),
        ({"x.values": np.zeros((3, 1)), "x.shapes": np.array([[2], [1]])}, r"SHAPE .*'x\.values'"),
        ({"x.values": np.zeros(2)}, r"ERR .*x\.values"),
        ({"__x": np.zeros(2)}, "ERR tensor '__x': a field '__x' is named '%__x' in a file"),
        ({"x%": np.zeros(2)}, "ERR tensor 'x%': a field 'x%' is named 'x%%' in a file"),
    ],
)
def test_an_unfit_file_changes_nothing(r, tensors, error):
    file = safetensors.numpy.save({"fine": np.zeros(2), **tensors})
    with pytest.raises(redis.ResponseError, match=f"^{error.removeprefix('ERR ')}"):
        r.execute_command("KV.MPUT", "p", "KEYS", 2, "a", "b", "SAFETENSORS", file)
    assert r.dbsize() == 0


@pytest.mark.parametrize("change", ["cut off", "longer", "header cut off", "no header"])
def test_a_damaged_file_changes_nothing(r, change):
    file = safetensors.numpy.save({"x": np.arange(100.0)})
    damaged = {"cut off": file[:-1], "longer": file + b"x", "header cut off": file[:20], "no header": b""}[change]
    with pytest.raises(redis.ResponseError):
        r.execute_command("KV.MPUT", "p", "NEW", 100, "SAFETENSORS", damaged)
    assert r.dbsize() == 0
    assert r.execute_command("KV.MPUT", "p", "NEW", 100, "SAFETENSORS", file)[0] == 100
