"""Random batches of every supported type, for hypothesis; and the expected results of reading them."""

import numpy as np
import torch
from hypothesis import strategies as st
from tensordict import NonTensorData, NonTensorStack, TensorDict

from sluice.columns import DTYPES

SHAPES = st.lists(st.integers(0, 5), max_size=3)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def random_tensor(dtype, shape, seed):
    """Random bits: NaNs with payloads, denormal numbers, negative zeros; bools are 0 and 1."""
    size = torch.empty((), dtype=dtype).element_size()
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 256, count * size, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


@st.composite
def dense(draw, rows):
    dtype = draw(st.sampled_from(sorted(DTYPES.values(), key=str)))
    shape = draw(SHAPES)
    tensor = random_tensor(dtype, [rows, *shape], draw(st.integers(0, 999)))
    if draw(st.booleans()) and shape:
        tensor = tensor.transpose(0, 1).contiguous().transpose(0, 1)  # not contiguous
    return tensor, list(tensor.unbind())


@st.composite
def ragged(draw, rows):
    """Jagged or strided; rows differ in the first dimension, or (strided) in any dimension."""
    dtype = draw(st.sampled_from([torch.int64, torch.float32, torch.float64]))
    rank = draw(st.integers(1, 3))
    rest = draw(st.lists(st.integers(1, 4), min_size=rank - 1, max_size=rank - 1))
    strided = draw(st.booleans())
    anyhow = strided and draw(st.booleans())
    each = []
    for i in range(rows):
        shape = [draw(st.integers(1, 6)), *([draw(st.integers(1, 4)) for _ in rest] if anyhow else rest)]
        each.append(random_tensor(dtype, shape, i + draw(st.integers(0, 99))))
    return torch.nested.nested_tensor(each, layout=torch.strided if strided else torch.jagged), each


@st.composite
def objects(draw, rows):
    kind = draw(st.sampled_from(["str", "bytes", "json", "shared"]))
    if kind == "shared":
        value = draw(st.text(max_size=5) | st.none())
        return NonTensorData(value, batch_size=[rows]), [value] * rows
    one = {"str": st.text(max_size=9), "bytes": st.binary(max_size=9), "json": JSON}[kind]
    values = draw(st.lists(one, min_size=rows, max_size=rows))
    return NonTensorStack(*values), values


@st.composite
def batches(draw):
    """(TensorDict [n], {field: its n rows})"""
    rows = draw(st.integers(1, 6))
    count = draw(st.integers(1, 4))
    columns = {f"f{i}": draw(st.one_of(dense(rows), ragged(rows), objects(rows))) for i in range(count)}
    batch = TensorDict({name: column for name, (column, _) in columns.items()}, batch_size=[rows])
    return batch, {name: each for name, (_, each) in columns.items()}


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def same_tensor(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


def layout_of(each):
    """Returns the column's tensor for these rows."""
    if len({row.shape for row in each}) == 1:
        return "dense"
    unlike = sum(len(set(sizes)) > 1 for sizes in zip(*(row.shape for row in each), strict=True))
    return "jagged" if unlike == 1 else "strided"


def assert_same_column(got, each):
    """Requires that `got`, a field of a TensorDict that was read, has these rows, in the layout that their shapes require."""
    if not isinstance(each[0], torch.Tensor):
        values = got.tolist() if isinstance(got, (NonTensorStack, NonTensorData)) else got
        assert values == each and [type(v) for v in values] == [type(v) for v in each]
        return
    if not got.is_nested:
        assert layout_of(each) == "dense"
    else:
        assert layout_of(each) == str(got.layout).removeprefix("torch.")
    rows = list(got.unbind())
    assert len(rows) == len(each)
    for a, b in zip(rows, each, strict=True):
        assert same_tensor(a, b), (a, b)
