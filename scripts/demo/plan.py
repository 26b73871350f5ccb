"""Who does what to which row. Every worker knows the plan, so that nobody has to be told anything.

Rows have ids 0..rows-1 and are written, scored and trained in batches of 64; a batch is a training step.

    partition     row         fields
    demo.rows     row-<id>*   prompt_ids, response_ids (rollout workers), reward, logprobs (scorers)
    demo.batches  batch-<n>   indexes (of rows made with NEW, by their rollout worker), trained (by the trainer)
    demo.large    row-<id>    hidden: 1 MiB

    * or the key that the server made; the id is in the tag too.
"""

import dataclasses

import wire

ROWS, BATCHES, LARGE = "demo.rows", "demo.batches", "demo.large"
BATCH_ROWS = 64
WINDOW = 32  # a rollout worker is at most so many batches ahead of training
INPUTS, SCORES = ("prompt_ids", "response_ids"), ("reward", "logprobs")
SCORED = {"status": "scored"}  # merged into a row's tag with its scores


@dataclasses.dataclass(frozen=True)
class Which:
    """Rows of a command: their ids, their keys, and the arguments that name them."""

    ids: list  # or a range
    keys: list
    arguments: list

    def name(self, at):
        return f"row {self.ids[at]} (key {self.keys[at]})"


def by_key(ids, keys=None):
    keys = keys or [f"row-{row_id}" for row_id in ids]
    return Which(ids, keys, ["KEYS", *wire.lines(keys)])


def by_index(ids, indexes):
    return Which(ids, list(map(str, indexes)), ["ROWS", wire.packed(indexes)])


def batch_row(batch):
    return Which([batch], [f"batch-{batch}"], ["KEYS", 1, f"batch-{batch}"])


@dataclasses.dataclass(frozen=True)
class Plan:
    rows: int

    @property
    def large_rows(self):
        return min(max(8, self.rows // 50), 400)

    @property
    def batches(self):
        return range(-(-self.rows // BATCH_ROWS))

    def ids(self, batch):
        return range(batch * BATCH_ROWS, min((batch + 1) * BATCH_ROWS, self.rows))

    # Of each four pairs of batches (a pair: one for each rollout worker) ...

    @staticmethod
    def row_by_row(batch):  # the first and the third are put row by row, the others at once
        return batch // 2 % 2 == 0

    @staticmethod
    def keys_by_server(batch):
        return batch // 2 % 4 == 1

    @staticmethod
    def scored_by_changes(batch):  # the second and the third; the scorer with KV.WAIT has the others
        return batch // 2 % 4 in (1, 2)

    @staticmethod
    def streamed(row_id):
        """Of the rows put row by row: the response comes in chunks."""
        return row_id % 3 == 0

    @staticmethod
    def as_safetensors(batch):
        return batch % 3 == 2

    @staticmethod
    def tags_by_list(batch):
        return batch % 3 == 1
