"""Samplers that run in the client. They choose from the rows that are ready; the server resolves races of clients."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sluice._link import Arg
from sluice.arguments import block, listed
from sluice.errors import RequestError
from sluice.rows import RowsOf, checked, from_json, refuse_eviction, unless_missing
from sluice.samplers import BaseSampler
from sluice.wire import Wire, unpacked

_SLICE_S = 0.5  # longest time between two calls of the sampler: the view may change without growing


class TagsOf:
    """A partition, as a sampler gets it in the argument `partition`."""

    def __init__(self, wire: Wire, name: str, incarnation: int | None) -> None:
        self._wire, self.name, self._incarnation = wire, name, incarnation

    def get_custom_meta(self, indexes: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Returns the tags of these rows, {index: tag}. Rows that do not exist are left out."""
        words = RowsOf(self.name, indexes, self._incarnation).words
        tags = self._wire.call("KV.TAGS", self.name, *words, repeat=True) if indexes else []
        return {index: from_json(bytes(tag)) for index, tag in zip(indexes, tags, strict=True) if tag is not None}


class OwnSampler:
    """Runs a sampler in the client: it chooses from TASK.READY, and TASK.CLAIM takes the rows or reports a race."""

    def __init__(self, wire: Wire, sampler: BaseSampler, partition: str, task: str, fields: Sequence[str]) -> None:
        self._wire, self._sampler, self._partition, self._task = wire, sampler, partition, task
        self._fields: list[Arg] = ["FIELDS", *listed("data_fields", list(fields))]
        self.incarnation: int | None = None
        """Of the partition that the sampled rows are from."""

    def take(self, count: int, config: Mapping[str, Any], wait_s: float) -> list[int] | None:
        """Returns the sampled rows: an empty list if it samples nothing within wait_s, None if no more rows can come."""
        deadline = time.monotonic() + wait_s
        while True:
            with self._sampler._locks.of(self._partition):
                sampled, ready = self._try(count, config)
            if sampled:
                return sampled
            left_s = deadline - time.monotonic()
            if left_s <= 0 and (sampled is not None or wait_s > 0):
                return []
            if sampled is not None and not self._wait(len(ready), min(left_s, _SLICE_S)):
                return None

    def _try(self, count: int, config: Mapping[str, Any]) -> tuple[list[int] | None, list[int]]:
        """Returns the sampled rows and the ready rows. The sampled rows are None if another client took one of them."""
        steps = self._sampler._states
        before = copy.deepcopy(steps.get(self._partition))
        claimed = False
        try:
            sampled, ready, claimed = self._sample(count, config)
        finally:
            if not claimed:  # another client was faster, or the call was interrupted: the step is not taken
                if before is None:
                    steps.pop(self._partition, None)
                else:
                    steps[self._partition] = before
        return sampled, ready

    def _sample(self, count: int, config: Mapping[str, Any]) -> tuple[list[int] | None, list[int], bool]:
        """As _try. Also returns whether the server has confirmed the rows, or need not."""
        sampler, ready = self._sampler, self._ready()
        sampler._use(self._partition, self.incarnation)
        known = sampler.has_cached_result(self._partition, self._task, config)
        sampled, consumed = sampler(
            ready,
            count,
            task_name=self._task,
            partition_id=self._partition,
            partition=TagsOf(self._wire, self._partition, self.incarnation),
            **config,
        )
        sampled, consumed = [int(row) for row in sampled], [int(row) for row in consumed]
        if not sampled or known or not consumed:
            return sampled, ready, True
        unknown = sorted(set(consumed) - set(ready))
        if unknown:
            raise ValueError(f"{type(sampler).__name__} consumed rows {unknown}, which are not ready")
        rows = RowsOf(self._partition, consumed, self.incarnation)
        claim: list[Arg] = ["TASK.CLAIM", self._partition, self._task, *rows.words, *self._fields, "ALL"]
        claimed = len(self._wire.call(*claim)[b"rows"]) > 0
        return sampled if claimed else None, ready, claimed

    def _ready(self) -> list[int]:
        info = unless_missing(self._wire, "PARTITION.INFO", self._partition)
        if info is not None:
            refuse_eviction(info, self._partition, self._task)
        self.incarnation = info and info[b"incarnation"]
        [reply] = self._wire.pipeline(["TASK.READY", self._partition, self._task, *self._fields], repeat=True)
        if isinstance(reply, RequestError) and reply.code == "NOPARTITION":
            return []
        rows: list[int] = unpacked(checked(reply)).tolist()
        return rows

    def _wait(self, ready: int, wait_s: float) -> bool:
        """Waits until more rows are ready than these, or wait_s has passed. Returns False if no more rows can come."""
        asked = time.monotonic()
        words = ["TASK.FETCH", self._partition, self._task, *self._fields, "COUNT", ready + 1, "KEEP", *block(wait_s)]
        reply = self._wire.call(*words, repeat=True, wait_s=wait_s)
        more = reply is not None and b"end" not in reply
        return more or (reply is None and time.monotonic() - asked >= wait_s * 0.9)
