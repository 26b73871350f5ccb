"""The server's sampler `budget`, asked through the client, does what a slow and obvious model of it does."""

import random

import pytest
import torch
from tensordict import TensorDict

import sluice as tq
from sluice.samplers import ServerSampler, TokenBudgetSampler

WEIGHTS = [0, 1, 2.5, 3, 4, 7, 12, -3, "text", None]  # None: the tag is missing
GROUPS = ["a", "b", "c", None]


class Model:
    """Rows with a weight, a group and whether they are ready, and the shares that were taken of them."""

    def __init__(self, options, count):
        self.options, self.count = options, count
        self.ranks, self.size = options.get("ranks") or 1, options.get("size") or 1
        self.rows = []  # (weight, group), by index
        self.ready = set()
        self.taken = set()

    def make(self, tag, ready):
        weight = tag.get("w")
        number = weight if isinstance(weight, (int, float)) and weight > 0 else 0
        self.rows.append((number, tag.get("uid")))
        if ready:
            self.ready.add(len(self.rows) - 1)

    def units(self):
        """The groups of which all rows are ready and free, by their lowest index."""
        queues = [list(range(len(self.rows)))]
        if self.options.get("by"):
            queues = [[row for row, (_, of) in enumerate(self.rows) if of == group] for group in GROUPS if group]
        groups = [queue[at : at + self.size] for queue in queues for at in range(0, len(queue), self.size)]
        free = self.ready - self.taken
        return sorted(group for group in groups if len(group) == self.size and free.issuperset(group))

    def weight(self, rows):
        return sum(self.rows[row][0] for row in rows)

    def fits(self, share, unit):
        return not share or self.weight(share + unit) <= self.options["tokens"]

    def grows(self, share):
        return len(share) + self.size <= self.count

    def one_after_another(self, units):
        """Fills each share as far as it goes. Returns the shares, and whether nothing more would fit in any of them."""
        shares, full = [], False
        while units and len(shares) < self.ranks:
            share, full = [], False
            while units and not full:
                if self.fits(share, units[0]):
                    share += units.pop(0)
                    full = self.weight(share) >= self.options["tokens"] or not self.grows(share)
                else:
                    full = True
            shares.append(share)
        return shares, full and len(shares) == self.ranks

    def to_the_lightest(self, units):
        """Gives each unit to the share with the smallest sum, until one does not fit."""
        shares = [[] for _ in range(self.ranks)]
        for unit in units:
            growing = [share for share in shares if self.grows(share)]
            lightest = min(growing, key=lambda share: (self.weight(share), len(share)), default=None)
            if lightest is None or not self.fits(lightest, unit):
                break
            lightest += unit
        return shares

    def take(self, complete):
        """Returns the shares of the next step, or None. `complete`: no more rows will come."""
        units = self.units()
        if len(units) < self.ranks:
            return None
        shares, full = self.one_after_another(list(units))
        if not full:
            all_come = complete and len(self.ready) == len(self.rows)
            if not self.options.get("underfill") and not all_come:
                return None
            if self.ranks > 1:
                shares = self.to_the_lightest(units)
        self.taken.update(row for share in shares for row in share)
        return shares


def sampler_of(chance, options):
    if chance.random() < 0.5:
        return ServerSampler("budget", **options)
    names = {"ranks": "dp_size", "size": "n_samples_per_prompt"}
    return TokenBudgetSampler(**{names.get(name, name): value for name, value in options.items()})


@pytest.mark.parametrize("seed", range(40))
def test_the_budget_sampler_takes_what_its_model_takes(client, seed):
    chance = random.Random(seed)
    options = {"tokens": chance.choice([1, 5, 10, 30]), "weight": "w", "underfill": chance.random() < 0.5}
    choices = {"ranks": [None, 1, 2, 3], "size": [None, 2, 3], "by": [None, "uid"]}
    options |= {name: chance.choice(some) for name, some in choices.items()}
    size = options["size"] or 1
    count = size * chance.choice([1, 2, 5, 20])
    sampler, model = sampler_of(chance, options), Model(options, count)
    expected = chance.choice([None, 30])
    client.create_partition("p", expect=expected)
    step = taken = 0
    for _ in range(40):
        kind = chance.choice(["make", "make", "write", "fetch", "fetch"])
        if kind == "make" and len(model.rows) < 30:
            make(client, model, chance, min(chance.randint(1, 6), 30 - len(model.rows)))
        elif kind == "write":
            write(model)
        elif kind == "fetch":
            shares = model.take(len(model.rows) == expected)
            ranks = range(model.ranks)
            order = chance.sample(ranks, len(ranks))
            for rank in order[: len(ranks) if shares else 1]:
                where = {"rank": rank, "step": step} if options["ranks"] else {}
                batch = client.fetch(["x"], count, "p", "t", sampler=sampler, **where)
                assert ([] if batch is None else batch.metadata.global_indexes) == (shares[rank] if shares else [])
            step, taken = step + bool(shares), taken + bool(shares)
    assert taken or not model.units() or not options["underfill"]


def make(client, model, chance, rows):
    """Makes rows with tags. Half of the times the rows are ready."""
    tags = [{"w": chance.choice(WEIGHTS), "uid": chance.choice(GROUPS)} for _ in range(rows)]
    tags = [{name: value for name, value in tag.items() if value is not None} for tag in tags]
    ready = chance.random() < 0.5
    client.put(TensorDict({"x" if ready else "y": torch.zeros(rows)}, [rows]), partition_id="p", tags=tags)
    for tag in tags:
        model.make(tag, ready)


def write(model):
    """Makes all rows ready. The server named them by their index."""
    missing = [row for row in range(len(model.rows)) if row not in model.ready]
    if missing:
        tq.kv_batch_put([str(row) for row in missing], "p", {"x": torch.zeros(len(missing))})
        model.ready.update(missing)


def test_a_server_sampler_leaves_out_none_and_false_and_gives_true_no_value():
    sampler = ServerSampler("budget", tokens=0, weight="w", underfill=True, size=None)
    assert sampler.arguments() == ["budget", "TOKENS", 0, "WEIGHT", "w", "UNDERFILL"]
    assert ServerSampler("budget", underfill=False, seed=1).arguments() == ["budget", "SEED", 1]
