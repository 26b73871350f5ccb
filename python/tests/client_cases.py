"""Shared by the tests of the metadata client: data with distinct values per row, and bit-exact comparison."""

import torch
from tensordict import NonTensorStack, TensorDict


def data_of(*lengths):
    """A field of each kind, with distinct values."""
    ids = [torch.arange(n) + 100 * n for n in lengths]
    return TensorDict(
        {
            "ids": torch.nested.nested_tensor(ids, layout=torch.jagged),
            "reward": torch.tensor(lengths, dtype=torch.float32),
            "mask": torch.tensor([[n, -n] for n in lengths], dtype=torch.int8),
            "text": NonTensorStack(*(f"text {n}" for n in lengths)),
        },
        batch_size=len(lengths),
    )


def same(one, other):
    assert set(one.keys()) == set(other.keys()) and one.batch_size == other.batch_size
    for name in one.keys():  # noqa: SIM118
        a, b = one.get(name), other.get(name)
        if not isinstance(a, torch.Tensor):
            assert a.tolist() == b.tolist()
            continue
        assert (a.dtype, a.is_nested) == (b.dtype, b.is_nested)
        for x, y in zip(a.unbind(), b.unbind(), strict=True):
            assert torch.equal(x, y)
