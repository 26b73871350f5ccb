"""The samplers, under the name that TransferQueue has for this module."""

from sluice.compat._samplers import (
    GRPOGroupNSampler,
    RankAwareSampler,
    SeqlenBalancedSampler,
    SequentialSampler,
    StreamingTokenBudgetSampler,
)
from sluice.samplers import BaseSampler

__all__ = [
    "BaseSampler",
    "GRPOGroupNSampler",
    "RankAwareSampler",
    "SeqlenBalancedSampler",
    "SequentialSampler",
    "StreamingTokenBudgetSampler",
]
