"""Samplers choose the rows of the next batch: the samplers of the server by name, and the base class for your own.

The server samples by itself. SequentialSampler and the other three classes only name the method; their `sample`
returns the same rows without the server, for tests and for planning. A subclass of BaseSampler runs in the client that
requests a batch.

Samplers can be pickled. In a client, the calls of one sampler for one partition come one at a time; those for
different partitions may come at the same time. Without a client, one thread at a time may use a sampler.
"""

from __future__ import annotations

import heapq
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

Rows = list[int]
Word = str | int
Choice: TypeAlias = "BaseSampler | type[BaseSampler] | str"
"""A sampler, its class, or the name of a class of this package."""


class _Locks:
    """A lock for each partition. A pickled or copied sampler, and a forked child, have their own locks."""

    def __init__(self) -> None:
        self._locks: dict[str, AbstractContextManager[bool]] = {}
        self._pid = os.getpid()

    def of(self, partition_id: str) -> AbstractContextManager[bool]:
        """Returns the lock of a partition. A thread that holds it may acquire it again."""
        if self._pid != os.getpid():
            self._locks, self._pid = {}, os.getpid()
        return self._locks.setdefault(partition_id, threading.RLock())

    def __reduce__(self) -> tuple[type[_Locks], tuple[()]]:
        return _Locks, ()


class BaseSampler(ABC):
    """The base class for your own sampler: a subclass defines `sample`, and is passed to init() or to get_meta().

    The sampler runs in the client. The rows that it consumes are claimed for this client alone, all or none. If another
    client was faster, `sample` is called again. The memory of a step is
    _states[partition_id][task_name][dp_rank][batch_index]. It is undone unless the server confirms that this client
    has the rows.
    """

    _states: dict[Any, Any]
    _incarnations: dict[str, int | None]
    """Of the partitions that _states is about."""
    _locks: _Locks

    def __new__(cls, *_args: Any, **_kwargs: Any) -> BaseSampler:
        """Makes the memory of steps, so that a subclass need not call __init__."""
        sampler = super().__new__(cls)
        sampler._states, sampler._incarnations, sampler._locks = {}, {}, _Locks()
        return sampler

    @abstractmethod
    def sample(self, ready_indexes: Rows, batch_size: int, *args: Any, **kwargs: Any) -> tuple[Rows, Rows]:
        """Chooses from the ready rows, which are sorted by index.

        In a client the keyword arguments are task_name, partition_id, the entries of sampling_config (such as dp_rank,
        batch_index), and `partition`, whose get_custom_meta(indexes) returns {index: tag}. Returns the rows of the
        batch, and the rows that the task consumes with it (often the same). Returns two empty lists if there are too
        few rows.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Rows, Rows]:
        """Calls sample()."""
        return self.sample(*args, **kwargs)

    def has_cached_result(self, partition_id: str, task_name: str, sampling_config: Mapping[str, Any] | None = None) -> bool:
        """Returns whether the step (dp_rank and batch_index of sampling_config) was sampled before."""
        config = sampling_config or {}
        steps = self._states.get(partition_id, {}).get(task_name, {}).get(config.get("dp_rank"), {})
        return config.get("dp_rank") is not None and config.get("batch_index") in steps

    def of_partition(self, _partition_id: str) -> BaseSampler:
        """Returns the sampler for this partition: this sampler."""
        return self

    def clear_cache(self, partition_id: str) -> None:
        """Forgets the steps of this partition."""
        self._states.pop(partition_id, None)

    def _use(self, partition_id: str, incarnation: int | None) -> None:
        """Forgets the steps if the partition was cleared and made again, by any client, since the last call."""
        if self._incarnations.setdefault(partition_id, incarnation) != incarnation:
            self._incarnations[partition_id] = incarnation
            self.clear_cache(partition_id)


class SequentialSampler(BaseSampler):
    """Takes the first rows by index."""

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        return ["sequential"]

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """Returns the rows that the server would take, twice. Returns two empty lists if there are fewer than batch_size.

        With `dp_rank` and `batch_index` a step is remembered: the same values return the same rows. Raises ValueError
        for a batch_size below 1, for another batch_size than the step had, for a rank below 0, and if only one of
        dp_rank and batch_index is given.
        """
        rank, step = kwargs.get("dp_rank"), kwargs.get("batch_index")
        _check_step(batch_size, rank, step)
        steps = self._states.setdefault(partition_id, {}).setdefault(task_name, {})
        known = steps.get(rank, {}).get(step)
        if known is None:
            shares = self._shares(sorted(ready_indexes), batch_size, kwargs)
            if not shares:
                return [], []
            consumed = [row for share in shares for row in share]
            known = (shares[self._share_of(rank)], consumed)
            if rank is not None:
                for owner, share in zip(self._owners(rank), shares, strict=True):
                    steps.setdefault(owner, {})[step] = (share, consumed)
        sampled, consumed = known
        if len(sampled) != batch_size:
            raise ValueError(f"step {step} of rank {rank} had batch_size {len(sampled)}, got {batch_size}")
        return list(sampled), list(consumed)

    def _shares(self, ready: Rows, batch_size: int, _context: Mapping[str, Any]) -> list[Rows]:
        """Returns the rows of each rank that this step serves. Returns an empty list if there are too few rows."""
        return [ready[:batch_size]] if len(ready) >= batch_size else []

    def _owners(self, rank: int) -> Iterable[int]:
        return [rank]

    def _share_of(self, _rank: int | None) -> int:
        return 0


class RankAwareSampler(SequentialSampler):
    """Takes the first rows by index, different ones for each data-parallel rank. Members of one rank get the same rows."""

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        return ["ranked"]

    def sample(  # type: ignore[override]  # the positions of the arguments are those of TransferQueue
        self,
        ready_indexes: Rows,
        batch_size: int,
        dp_rank: int,
        batch_index: int,
        task_name: str = "",
        partition_id: str = "",
        **kwargs: Any,
    ) -> tuple[Rows, Rows]:
        """As SequentialSampler.sample, for this step of this rank."""
        step = {"dp_rank": dp_rank, "batch_index": batch_index}
        return super().sample(ready_indexes, batch_size, task_name, partition_id, **kwargs | step)


class GRPOGroupNSampler(SequentialSampler):
    """Takes whole groups of n rows, the samples of one prompt.

    A group is the rows k*n to k*n+n-1. With `by`, a group is n rows with one value of this tag; such groups may be put
    one sample at a time, in any order. Only the server can sample groups `by` a tag; `sample` cannot.
    """

    def __init__(self, n_samples_per_prompt: int = 1, by: str | None = None) -> None:
        if n_samples_per_prompt < 1:
            raise ValueError(f"n_samples_per_prompt must be at least 1, got {n_samples_per_prompt}")
        self.n_samples_per_prompt = n_samples_per_prompt
        self.by = by

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        return ["group", "SIZE", self.n_samples_per_prompt, *([] if self.by is None else ["BY", self.by])]

    def _shares(self, ready: Rows, batch_size: int, _context: Mapping[str, Any]) -> list[Rows]:
        groups = self._groups(ready, batch_size)
        return [[row for group in groups for row in group]] if groups else []

    def _groups(self, ready: Rows, rows: int) -> list[range]:
        """Returns the first whole groups, with this number of rows in all. Returns an empty list if there are too few."""
        size = self.n_samples_per_prompt
        if self.by is not None:
            raise ValueError(f"only the server can sample groups by the tag {self.by!r}")
        if rows % size:
            raise ValueError(f"batch_size must be a multiple of n_samples_per_prompt {size}, got {rows}")
        have = set(ready)
        whole = (range(row, row + size) for row in ready if row % size == 0)
        groups = [group for group in whole if have.issuperset(group)]
        return groups[: rows // size] if len(groups) >= rows // size else []


class SeqlenBalancedSampler(GRPOGroupNSampler):
    """Takes whole groups for all ranks in one step, so that the sums of the tag `total_lengths` per rank are close.

    Each rank gets batch_size rows. The first rank that requests a step fixes the rows of all ranks.
    """

    def __init__(self, n_samples_per_prompt: int = 1, dp_size: int = 1, by: str | None = None) -> None:
        super().__init__(n_samples_per_prompt, by)
        if dp_size < 1:
            raise ValueError(f"dp_size must be at least 1, got {dp_size}")
        self.dp_size = dp_size

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        _, *groups = super().arguments()
        return ["balanced", "RANKS", self.dp_size, *groups, "WEIGHT", "total_lengths"]

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """Returns the rows of this step and rank, and the rows of all ranks, which the step consumes.

        Requires `dp_rank` and `batch_index`. Weights come from `custom_meta`, {index: tag}, or from `partition`, whose
        get_custom_meta(indexes) returns {index: tag}. A row without a positive total_lengths has weight 0.
        """
        rank = kwargs.get("dp_rank")
        if rank is None or not 0 <= rank < self.dp_size:
            raise ValueError(f"dp_rank must be 0 to {self.dp_size - 1}, got {rank}")
        return super().sample(ready_indexes, batch_size, task_name, partition_id, **kwargs)

    def _shares(self, ready: Rows, batch_size: int, context: Mapping[str, Any]) -> list[Rows]:
        groups = self._groups(ready, batch_size * self.dp_size)
        if not groups:
            return []
        tags = context.get("custom_meta") or {}
        if context.get("partition") is not None:
            tags = context["partition"].get_custom_meta([row for group in groups for row in group])
        weights = [sum((_weight(tags.get(row, {})) for row in group), 0.0) for group in groups]
        return [[row for i in dealt for row in groups[i]] for dealt in deal_equally(weights, self.dp_size)]

    def _owners(self, _rank: int) -> Iterable[int]:
        return range(self.dp_size)

    def _share_of(self, rank: int | None) -> int:
        return rank or 0


class TokenBudgetSampler(SequentialSampler):
    """Takes rows, or whole groups, by lowest index until the sum of a tag would pass a budget.

    The batch_size of a call is the most rows that a rank gets. With `dp_size`, the first call of a step takes the shares
    of all ranks, so calls need dp_rank and batch_index. With `underfill`, a batch may have less than fills the budget;
    without, only when no more rows can come. Only the server can sample by a budget; `sample` raises ValueError.
    """

    def __init__(
        self,
        tokens: int,
        weight: str = "total_lengths",
        *,
        dp_size: int | None = None,
        n_samples_per_prompt: int | None = None,
        by: str | None = None,
        underfill: bool = False,
    ) -> None:
        if tokens < 1:
            raise ValueError(f"tokens must be at least 1, got {tokens}")
        self.tokens = tokens
        self.weight = weight
        self.dp_size = dp_size
        self.n_samples_per_prompt = n_samples_per_prompt
        self.by = by
        self.underfill = underfill

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        options = {"RANKS": self.dp_size, "SIZE": self.n_samples_per_prompt, "BY": self.by}
        given: list[Word] = [word for option, value in options.items() if value is not None for word in (option, value)]
        return ["budget", "TOKENS", self.tokens, "WEIGHT", self.weight, *given, *(["UNDERFILL"] if self.underfill else [])]

    def _shares(self, _ready: Rows, _batch_size: int, _context: Mapping[str, Any]) -> list[Rows]:
        raise ValueError("only the server can sample by a budget")


class ServerSampler(BaseSampler):
    """A sampler of the server by its name, with its options: ServerSampler("priority", weight="score", seed=7).

    An option without a value, such as UNDERFILL, is given as True. Options that are None or False are left out.
    docs/streaming.md lists the samplers. Only the server can sample; `sample` raises ValueError.
    """

    def __init__(self, name: str, **options: Word | None) -> None:
        self.name = name
        self.options = options

    def arguments(self) -> list[Word]:
        """Returns the arguments of SAMPLER in TASK.FETCH."""
        given = [(option.upper(), value) for option, value in self.options.items() if value is not None and value is not False]
        return [self.name, *(word for option, value in given for word in ((option,) if value is True else (option, value)))]

    def sample(self, ready_indexes: Rows, batch_size: int, *args: Any, **kwargs: Any) -> tuple[Rows, Rows]:
        """Raises ValueError."""
        raise ValueError(f"only the server has the sampler {self.name!r}")


class PerPartition(BaseSampler):
    """Uses the first sampler whose pattern matches the name of the partition: {"train_*": ..., "*": ...}."""

    def __init__(self, samplers: Mapping[str, Choice]) -> None:
        self._samplers = {pattern: make_sampler(choice) for pattern, choice in samplers.items()}

    def of_partition(self, partition_id: str) -> BaseSampler:
        """Returns the sampler of the partition. Raises ValueError if no pattern matches."""
        for pattern, sampler in self._samplers.items():
            if fnmatchcase(partition_id, pattern):
                return sampler
        raise ValueError(f"no sampler for partition {partition_id!r}: it matches none of {list(self._samplers)}")

    def sample(
        self, ready_indexes: Rows, batch_size: int, *args: Any, partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """Calls sample() of the sampler of the partition."""
        chosen = self.of_partition(partition_id)
        return chosen.sample(ready_indexes, batch_size, *args, partition_id=partition_id, **kwargs)

    def clear_cache(self, partition_id: str) -> None:
        """Forgets the steps of this partition."""
        for sampler in self._samplers.values():
            sampler.clear_cache(partition_id)


_SERVER_SAMPLERS = (SequentialSampler, RankAwareSampler, GRPOGroupNSampler, SeqlenBalancedSampler, TokenBudgetSampler)


def server_arguments(sampler: BaseSampler) -> list[Word] | None:
    """Returns the arguments of SAMPLER, or None if the sampler runs in the client (as every subclass of these does)."""
    if isinstance(sampler, ServerSampler):
        return sampler.arguments()
    return sampler.arguments() if isinstance(sampler, SequentialSampler) and type(sampler) in _SERVER_SAMPLERS else None


def make_sampler(choice: Choice) -> BaseSampler:
    """Returns a sampler for a sampler, a class, or the name of a class of this package. Raises ValueError otherwise."""
    known = {kind.__name__: kind for kind in _SERVER_SAMPLERS}
    kind = known.get(choice) if isinstance(choice, str) else choice
    try:
        sampler = kind() if isinstance(kind, type) else kind
    except TypeError as error:
        raise ValueError(f"{choice!r} cannot be made without arguments ({error}); pass an instance") from None
    if not isinstance(sampler, BaseSampler):
        raise ValueError(f"expected a BaseSampler, a subclass, or one of {sorted(known)}, got {choice!r}")
    return sampler


def deal_equally(weights: list[float], ranks: int) -> list[list[int]]:
    """Distributes weights to ranks in equal numbers, by the largest differencing method of Karmarkar and Karp.

    Returns the indexes of the weights of each rank. Requires: `ranks` divides the number of weights. The steps are
    those of the server, so ties have the same result.
    """
    by_weight = sorted(range(len(weights)), key=lambda i: -weights[i])
    # A deal has one hand per rank, the heaviest first. A hand is its sum and its items. First each rank gets one of
    # `ranks` neighbours in weight. Then the two most unequal deals are joined, again and again.
    deals = []
    for number in range(0, len(by_weight), ranks):
        hands = [(weights[i], [i]) for i in by_weight[number : number + ranks]]
        deals.append((hands[-1][0] - hands[0][0], number, hands))
    heapq.heapify(deals)
    while len(deals) > 1:
        _, _, other = heapq.heappop(deals)
        _, number, deal = heapq.heappop(deals)
        joined = [(one + more, [*a, *b]) for (one, a), (more, b) in zip(deal, reversed(other), strict=True)]
        joined.sort(key=lambda hand: -hand[0])
        heapq.heappush(deals, (joined[-1][0] - joined[0][0], number, joined))
    return [sorted(items) for _, items in deals[0][2]]


def _weight(tag: Mapping[str, Any]) -> float:
    value = tag.get("total_lengths")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return 0.0
    return float(min(value, 1e300))


def _check_step(batch_size: int, rank: int | None, step: int | None) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if (rank is None) != (step is None):
        raise ValueError(f"dp_rank and batch_index must be given together, got {rank} and {step}")
    if rank is not None and rank < 0:
        raise ValueError(f"dp_rank must be at least 0, got {rank}")
