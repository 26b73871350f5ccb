"""Functions shared by KVBatchMeta and BatchMeta: copying, comparing, cutting, sorting and joining."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch


class Sized(Protocol):
    """The common interface of both kinds of batches."""

    extra_info: Any

    def __len__(self) -> int: ...


Batch = TypeVar("Batch", bound=Sized)
_SCALARS = (str, int, float, type(None))


def own(value: Any) -> Any:
    """Returns a deep copy. For small dicts of JSON values it is ten times as fast as copy.deepcopy."""
    if isinstance(value, _SCALARS):
        return value
    if type(value) is dict:
        return {name: own(item) for name, item in value.items()}
    if type(value) is list:
        return [own(item) for item in value]
    return copy.deepcopy(value)


def joined_info(batches: Sequence[Batch]) -> dict[str, Any]:
    """Returns the joined extra_info of batches. Raises ValueError if they have different values under one name."""
    joined: dict[str, Any] = {}
    for i, batch in enumerate(batches):
        for name, value in (batch.extra_info or {}).items():
            if not equal(joined.setdefault(name, value), value):
                raise ValueError(f"extra_info {name!r} is {value!r} in batch {i}, {joined[name]!r} in an earlier batch")
    return joined


def joined_incarnations(batches: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Returns the joined incarnations of batches. Raises ValueError if a partition was made again between two of them."""
    joined: dict[str, int] = {}
    for i, batch in enumerate(batches):
        for name, number in batch.items():
            if joined.setdefault(name, number) != number:
                raise ValueError(f"partition {name!r} was made again: batch {i} is of incarnation {number}, not {joined[name]}")
    return joined


def not_empty(batches: Sequence[Batch]) -> Sequence[Batch]:
    """Returns the batches with rows. If there are none, returns the first batch, for its other contents."""
    return [batch for batch in batches if len(batch)] or batches[:1]


def parts(size: int, chunks: int) -> list[range]:
    """Returns the positions of each of `chunks` parts of a batch. Raises ValueError if a part would be empty."""
    if not 1 <= chunks <= size:
        raise ValueError(f"a batch of {size} cannot be cut into {chunks} chunks")
    bounds = [part * (size // chunks) + min(part, size % chunks) for part in range(chunks + 1)]
    return [range(begin, end) for begin, end in zip(bounds, bounds[1:], strict=False)]


def positions_in(indexes: Iterable[int], size: int) -> list[int]:
    """Returns positions (a list or tensor) as ints. Raises ValueError for one outside 0..size-1, and for a mask."""
    positions = indexes.tolist() if isinstance(indexes, (torch.Tensor, np.ndarray)) else list(indexes)
    for i in positions:
        if isinstance(i, bool) or not 0 <= operator.index(i) < size:
            raise ValueError(f"{i} is not a position in a batch of {size}")
    return positions


def permutation(indexes: Sequence[int], size: int) -> list[int]:
    """Returns positions as ints. Raises ValueError unless each of 0..size-1 occurs once."""
    order = positions_in(indexes, size)
    if len(order) != size:
        raise ValueError(f"expected {size} positions, one per row, got {len(order)}")
    refuse_duplicates("position", order)
    return order


def refuse_duplicates(what: str, items: Sequence[Any]) -> None:
    """Raises ValueError for the first item that occurs more than once."""
    if len(set(items)) != len(items):
        duplicates = [item for item, times in Counter(items).items() if times > 1]
        raise ValueError(f"duplicate {what} {duplicates[0]!r}")


def equal(one: Any, other: Any) -> bool:
    """Compares in depth, including tensors and arrays. True, 1 and 1.0 are different values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
