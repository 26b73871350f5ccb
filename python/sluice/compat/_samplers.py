"""The samplers of TransferQueue: `sample` accepts what theirs accept. get_meta samples on the server, as in Sluice.

GRPOGroupNSampler samples any run of n consecutive ready rows. The server has only the groups k*n to k*n+n-1. So without
dp_rank and batch_index it runs in the client. With them the server samples, because all processes of a rank must get
the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice import samplers
from sluice.samplers import BaseSampler, Rows


class _Lenient(samplers.SequentialSampler):
    """A step that was sampled before has its rows, whatever the batch_size is. No rows are sampled for a batch_size of 0."""

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", *_: Any, **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """As in Sluice, but without the errors for a batch_size of 0, for another batch_size, and for half a step."""
        rank, step = kwargs.pop("dp_rank", None), kwargs.pop("batch_index", None)
        stepped = {} if rank is None or step is None else {"dp_rank": rank, "batch_index": step}
        if self.has_cached_result(partition_id, task_name, stepped):
            sampled, consumed = self._states[partition_id][task_name][rank][step]
            return list(sampled), list(consumed)
        if batch_size < 1:
            return [], []
        strict = samplers.SequentialSampler.sample  # the one that all samplers of the server share
        return strict(self, ready_indexes, batch_size, task_name, partition_id, **kwargs, **stepped)


class SequentialSampler(samplers.SequentialSampler):
    """Takes the first rows by index."""

    def sample(self, ready_indexes: Rows, batch_size: int, *_: Any, **__: Any) -> tuple[Rows, Rows]:
        """Returns up to batch_size rows, twice (in Sluice: batch_size rows or none). Steps are not remembered."""
        return list(ready_indexes[:batch_size]), list(ready_indexes[:batch_size])


class RankAwareSampler(_Lenient, samplers.RankAwareSampler):
    """Takes the first rows by index, different ones for each rank."""

    def sample(  # type: ignore[override]
        self,
        ready_indexes: Rows,
        batch_size: int,
        dp_rank: int,
        batch_index: int,
        task_name: str,
        partition_id: str,
        *_: Any,
        **kwargs: Any,
    ) -> tuple[Rows, Rows]:
        """As _Lenient.sample, for this step of this rank. Raises ValueError for a negative rank."""
        if dp_rank < 0:
            raise ValueError(f"dp_rank {dp_rank} must be greater than or equal to 0")
        step = {"dp_rank": dp_rank, "batch_index": batch_index}
        return _Lenient.sample(self, ready_indexes, batch_size, task_name, partition_id, **kwargs, **step)


class GRPOGroupNSampler(_Lenient, samplers.GRPOGroupNSampler):
    """Takes runs of n consecutive rows."""

    def _groups(self, ready: Rows, rows: int) -> list[range]:
        size = self.n_samples_per_prompt
        if self.by is not None or rows % size:
            return super()._groups(ready, rows)  # raises
        groups: list[range] = []
        at = 0
        while at + size <= len(ready) and len(groups) < rows // size:
            whole = ready[at + size - 1] - ready[at] == size - 1
            groups += [range(ready[at], ready[at] + size)] if whole else []
            at += size if whole else 1
        return groups if len(groups) == rows // size else []


class SeqlenBalancedSampler(GRPOGroupNSampler, samplers.SeqlenBalancedSampler):
    """Takes runs of n consecutive rows for all ranks. Without dp_rank and batch_index, both are 0."""

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", *_: Any, **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """Returns the share of a rank, twice: other ranks consume their shares themselves (in Sluice: the first consumes all).

        A rank that does not exist has no rows (in Sluice: ValueError).
        """
        step = {"dp_rank": kwargs.pop("dp_rank", 0), "batch_index": kwargs.pop("batch_index", 0)}
        if not 0 <= step["dp_rank"] < self.dp_size:
            return [], []
        share, _consumed = GRPOGroupNSampler.sample(self, ready_indexes, batch_size, task_name, partition_id, **kwargs, **step)
        return share, list(share)

    def _shares(self, ready: Rows, batch_size: int, context: Mapping[str, Any]) -> list[Rows]:
        """Without a partition that has the lengths, all ranks get neighbours."""
        if context.get("partition") is not None or context.get("custom_meta"):
            return samplers.SeqlenBalancedSampler._shares(self, ready, batch_size, context)
        rows = [row for group in self._groups(ready, batch_size * self.dp_size) for row in group]
        return [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]


class StreamingTokenBudgetSampler(GRPOGroupNSampler):
    """Takes rows by a sum of lengths: up to the `token_budget` in the sampling_config of a call, else runs of n rows.

    by_budget() says which rows. balance_unit_multiplier has no effect: the server deals all ready rows.
    """

    def __init__(self, n_samples_per_prompt: int = 1, balance_unit_multiplier: int = 1, by: str | None = None) -> None:
        super().__init__(n_samples_per_prompt, by)
        if balance_unit_multiplier < 1:
            raise ValueError(f"balance_unit_multiplier must be at least 1, got {balance_unit_multiplier}")
        self.balance_unit_multiplier = balance_unit_multiplier

    def _shares(self, ready: Rows, batch_size: int, context: Mapping[str, Any]) -> list[Rows]:
        if context.get("token_budget") is not None:
            raise ValueError("only the server can sample by a budget")
        return super()._shares(ready, batch_size, context)


SAMPLERS = {
    kind.__name__: kind
    for kind in (SequentialSampler, RankAwareSampler, GRPOGroupNSampler, SeqlenBalancedSampler, StreamingTokenBudgetSampler)
}
BUDGET_NAMES = {"token_budget", "dp_size", "allow_underfill"}
"""What a sampling_config may have for a sampler by budget, beside dp_rank and batch_index."""
ROWS_MAX = 65_536  # of all shares of a sampler by budget
_ON_SERVER: dict[type[BaseSampler], type[BaseSampler]] = {
    **{kind: getattr(samplers, name) for name, kind in SAMPLERS.items() if hasattr(samplers, name)},
    StreamingTokenBudgetSampler: samplers.GRPOGroupNSampler,
}


def on_server(sampler: BaseSampler) -> BaseSampler:
    """Returns the sampler of Sluice that the server has for a sampler of this module; another sampler itself."""
    kind = _ON_SERVER.get(type(sampler))
    options = {name: value for name, value in options_of(sampler).items() if name != "balance_unit_multiplier"}
    return sampler if kind is None else kind(**options)


def by_budget(sampler: BaseSampler, config: Mapping[str, Any]) -> tuple[samplers.TokenBudgetSampler, dict[str, int]] | None:
    """Returns the sampler of a call with a `token_budget`, and its step. Returns None if the call has none, or the sampler.

    The values of the call, `token_budget`, `dp_size` and `allow_underfill`, have precedence over those of the sampler.
    Raises ValueError without dp_rank and dp_size.

    With batch_index, the first call of a step takes the shares of all ranks. Without, each call takes its own rows.
    Groups may be divided: a whole group could exceed the budget.
    """
    streaming = isinstance(sampler, StreamingTokenBudgetSampler)
    if config.get("token_budget") is None or not (streaming or isinstance(sampler, samplers.TokenBudgetSampler)):
        return None
    options: dict[str, Any] = {"underfill": True} if streaming else options_of(sampler)
    of_call = {"tokens": "token_budget", "dp_size": "dp_size", "underfill": "allow_underfill"}
    options |= {name: config[given] for name, given in of_call.items() if config.get(given) is not None}
    if streaming and (config.get("dp_rank") is None or options.get("dp_size") is None):
        raise ValueError("sampling_config with token_budget needs dp_rank and dp_size")
    step = {name: config[name] for name in ("dp_rank", "batch_index") if config.get(name) is not None}
    if len(step) < 2:
        options["dp_size"], step = None, {}
    return samplers.TokenBudgetSampler(**options), step


def options_of(sampler: BaseSampler) -> dict[str, Any]:
    """Returns the arguments with which the sampler was made."""
    return {name: value for name, value in vars(sampler).items() if not name.startswith("_")}
