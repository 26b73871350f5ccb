"""Which of the ready rows make the next batch: the server's samplers by name, and the base for your own.

The server samples by itself; SequentialSampler and the other three only say which way, and `sample` gives the same
rows without it, for tests and for planning. A subclass of BaseSampler runs in the client that asks for a batch.

A sampler is pickled to other processes without harm. One that remembers steps is for one thread at a time.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

Rows = list[int]
Word = str | int
Choice: TypeAlias = "BaseSampler | type[BaseSampler] | str"
"""A sampler, its class, or the name of one of ours."""


class BaseSampler(ABC):
    """Your own way to choose rows: a subclass with `sample`, given to init() or to one get_meta().

    It runs in the client: the rows that it consumes are claimed for this client alone, all or none; where another
    client was faster, `sample` is asked again. What it keeps for a step lies in `_states`, as
    _states[partition_id][task_name][dp_rank][batch_index]; that is taken back where rows went to others.
    """

    _states: dict[Any, Any]

    def __new__(cls, *_args: Any, **_kwargs: Any) -> BaseSampler:
        """So that a subclass need not call __init__ for its memory."""
        sampler = super().__new__(cls)
        sampler._states = {}
        return sampler

    @abstractmethod
    def sample(self, ready_indexes: Rows, batch_size: int, *args: Any, **kwargs: Any) -> tuple[Rows, Rows]:
        """Choose from the rows that are ready, by ascending index.

        In a client the keywords are task_name, partition_id, what sampling_config has (such as dp_rank, batch_index),
        and `partition`, whose get_custom_meta(indexes) gives {index: tag}. Returns the rows of the batch, and the rows
        that the task has consumed with it, often the same; two empty lists where there are too few.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Rows, Rows]:
        """The same as sample()."""
        return self.sample(*args, **kwargs)

    def has_cached_result(self, partition_id: str, task_name: str, sampling_config: Mapping[str, Any] | None = None) -> bool:
        """Whether the step that sampling_config names by dp_rank and batch_index was sampled before."""
        config = sampling_config or {}
        steps = self._states.get(partition_id, {}).get(task_name, {}).get(config.get("dp_rank"), {})
        return config.get("dp_rank") is not None and config.get("batch_index") in steps

    def of_partition(self, _partition_id: str) -> BaseSampler:
        """The sampler that is asked for this partition: itself."""
        return self

    def clear_cache(self, partition_id: str) -> None:
        """Forget the steps of this partition."""
        self._states.pop(partition_id, None)


class SequentialSampler(BaseSampler):
    """The first rows by index."""

    def arguments(self) -> list[Word]:
        """What stands behind SAMPLER in TASK.FETCH."""
        return ["sequential"]

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """The rows that the server would take, twice; two empty lists where there are fewer than batch_size.

        With `dp_rank` and `batch_index` a step is remembered: the same again are the same rows. Raises ValueError for
        a batch_size below 1 or another than the step had, a rank below 0, and one of the two without the other.
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
            raise ValueError(f"step {step} of rank {rank} had batch_size {len(sampled)}, not {batch_size}")
        return list(sampled), list(consumed)

    def _shares(self, ready: Rows, batch_size: int, _context: Mapping[str, Any]) -> list[Rows]:
        """What each rank that is served at once gets; none where there are too few."""
        return [ready[:batch_size]] if len(ready) >= batch_size else []

    def _owners(self, rank: int) -> Iterable[int]:
        return [rank]

    def _share_of(self, _rank: int | None) -> int:
        return 0


class RankAwareSampler(SequentialSampler):
    """The first rows by index, for each data-parallel rank its own; members of one rank get the same rows."""

    def arguments(self) -> list[Word]:
        """What stands behind SAMPLER in TASK.FETCH."""
        return ["ranked"]

    def sample(  # type: ignore[override]  # its positions are TransferQueue's
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
    """Whole groups of n, the samples of one prompt: neighbours, rows k*n to k*n+n-1; with `by`, n rows of one value of this tag.

    Groups `by` a tag may be put one sample at a time, in any order. They are the server's: `sample` does not know them.
    """

    def __init__(self, n_samples_per_prompt: int = 1, by: str | None = None) -> None:
        if n_samples_per_prompt < 1:
            raise ValueError(f"n_samples_per_prompt is at least 1, not {n_samples_per_prompt}")
        self.n_samples_per_prompt = n_samples_per_prompt
        self.by = by

    def arguments(self) -> list[Word]:
        """What stands behind SAMPLER in TASK.FETCH."""
        return ["group", "SIZE", self.n_samples_per_prompt, *([] if self.by is None else ["BY", self.by])]

    def _shares(self, ready: Rows, batch_size: int, _context: Mapping[str, Any]) -> list[Rows]:
        groups = self._groups(ready, batch_size)
        return [[row for group in groups for row in group]] if groups else []

    def _groups(self, ready: Rows, rows: int) -> list[range]:
        """The first whole groups, of so many rows in all; none where there are too few."""
        size = self.n_samples_per_prompt
        if self.by is not None:
            raise ValueError(f"groups by the tag {self.by!r} are sampled by the server only")
        if rows % size:
            raise ValueError(f"batch_size {rows} is no multiple of n_samples_per_prompt {size}")
        have = set(ready)
        whole = (range(row, row + size) for row in ready if row % size == 0)
        groups = [group for group in whole if have.issuperset(group)]
        return groups[: rows // size] if len(groups) >= rows // size else []


class SeqlenBalancedSampler(GRPOGroupNSampler):
    """Whole groups for all ranks at once, dealt so that the ranks' sums of the tag `total_lengths` are near.

    Each rank gets batch_size rows; the first that asks for a step settles what all of them get.
    """

    def __init__(self, n_samples_per_prompt: int = 1, dp_size: int = 1, by: str | None = None) -> None:
        super().__init__(n_samples_per_prompt, by)
        if dp_size < 1:
            raise ValueError(f"dp_size is at least 1, not {dp_size}")
        self.dp_size = dp_size

    def arguments(self) -> list[Word]:
        """What stands behind SAMPLER in TASK.FETCH."""
        _, *groups = super().arguments()
        return ["balanced", "RANKS", self.dp_size, *groups, "WEIGHT", "total_lengths"]

    def sample(
        self, ready_indexes: Rows, batch_size: int, task_name: str = "", partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """The rows of this step of this rank, and those of all ranks, which the step consumes.

        Needs `dp_rank` and `batch_index`. Weights come from `custom_meta`, {index: tag}, or from `partition`, whose
        get_custom_meta(indexes) gives that; a row without a positive total_lengths counts 0.
        """
        rank = kwargs.get("dp_rank")
        if rank is None or not 0 <= rank < self.dp_size:
            raise ValueError(f"dp_rank is 0 to {self.dp_size - 1}, not {rank}")
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


class PerPartition(BaseSampler):
    """Another sampler for each partition: the first whose pattern fits the name, such as {"train_*": ..., "*": ...}."""

    def __init__(self, samplers: Mapping[str, Choice]) -> None:
        self._samplers = {pattern: make_sampler(choice) for pattern, choice in samplers.items()}

    def of_partition(self, partition_id: str) -> BaseSampler:
        """The partition's sampler. Raises ValueError where no pattern fits."""
        for pattern, sampler in self._samplers.items():
            if fnmatchcase(partition_id, pattern):
                return sampler
        raise ValueError(f"no sampler is named for partition {partition_id!r}; there are {list(self._samplers)}")

    def sample(
        self, ready_indexes: Rows, batch_size: int, *args: Any, partition_id: str = "", **kwargs: Any
    ) -> tuple[Rows, Rows]:
        """As the partition's sampler."""
        chosen = self.of_partition(partition_id)
        return chosen.sample(ready_indexes, batch_size, *args, partition_id=partition_id, **kwargs)

    def clear_cache(self, partition_id: str) -> None:
        """Forget the steps of this partition."""
        for sampler in self._samplers.values():
            sampler.clear_cache(partition_id)


_OURS = (SequentialSampler, RankAwareSampler, GRPOGroupNSampler, SeqlenBalancedSampler)


def server_arguments(sampler: BaseSampler) -> list[Word] | None:
    """How the server names this sampler; None for one that runs in the client, such as any subclass of ours."""
    return sampler.arguments() if isinstance(sampler, SequentialSampler) and type(sampler) in _OURS else None


def make_sampler(choice: Choice) -> BaseSampler:
    """A sampler from itself, its class, or the name of one of ours; ValueError for anything else."""
    ours = {kind.__name__: kind for kind in _OURS}
    kind = ours.get(choice) if isinstance(choice, str) else choice
    try:
        sampler = kind() if isinstance(kind, type) else kind
    except TypeError as error:
        raise ValueError(f"{choice!r} cannot be made without arguments ({error}); give an instance") from None
    if not isinstance(sampler, BaseSampler):
        raise ValueError(f"a sampler is a BaseSampler, its class, or one of {sorted(ours)}, not {choice!r}")
    return sampler


def deal_equally(weights: list[float], ranks: int) -> list[list[int]]:
    """Which of the weights each rank gets, in equal numbers: Karmarkar and Karp's largest differencing method.

    `ranks` divides their number. Step by step what the server does, so that ties fall alike, too.
    """
    by_weight = sorted(range(len(weights)), key=lambda i: -weights[i])
    # A deal is a hand a rank, the heaviest first; a hand is its sum and its items. First each rank gets one of
    # `ranks` neighbours in weight; then the two most unequal deals are joined, again and again.
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
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    if (rank is None) != (step is None):
        raise ValueError(f"dp_rank and batch_index go together, got {rank} and {step}")
    if rank is not None and rank < 0:
        raise ValueError(f"dp_rank is at least 0, not {rank}")
