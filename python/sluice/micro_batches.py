"""Cuts batches into micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from sluice.metadata import BatchMeta
from sluice.values import strided


def micro_batches(data: TensorDict, metadata: BatchMeta, micro_batch_size: int) -> Iterator[tuple[TensorDict, BatchMeta]]:
    """Cuts a batch into parts of micro_batch_size rows. The last part has the remaining rows.

    Dense and jagged tensors are views of the tensors of the batch. Strided nested tensors are copied.
    """
    nested = {name: value for name, value in data.items() if isinstance(value, torch.Tensor) and value.is_nested}
    others = data.exclude(*nested)
    for begin in range(0, len(metadata), micro_batch_size):
        rows = slice(begin, min(begin + micro_batch_size, len(metadata)))
        part = others[rows]
        for name, value in nested.items():
            part.set(name, _nested_rows(value, rows))
        yield part, metadata[rows]


def _nested_rows(value: Any, rows: slice) -> torch.Tensor:
    if value.layout == torch.jagged and value._lengths is None and value._ragged_idx == 1:
        offsets = value.offsets()[rows.start : rows.stop + 1]
        lengths = offsets.diff()
        return torch.nested.nested_tensor_from_jagged(
            value.values()[offsets[0] : offsets[-1]],
            offsets - offsets[0],
            min_seqlen=int(lengths.min()),
            max_seqlen=int(lengths.max()),
        )
    each = list(value.unbind()[rows])
    if value.layout == torch.jagged:
        return torch.nested.as_nested_tensor(each, layout=torch.jagged)
    return strided(torch.cat([row.reshape(-1) for row in each]), np.array([row.shape for row in each], np.int64))
