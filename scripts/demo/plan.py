"""The constants that workers agree on. They learn the rest from the server.

    partition     row         fields
    demo.rows     row-<id>*   prompt_ids, response_ids (rollout workers), reward, logprobs (scorers)
    demo.large    row-<id>    hidden: 1 MiB

    * or the key that the server made; the tag has the id, too, and the prompt's name, which makes samples one group.

Tasks of demo.rows: `score` (the scorers), `train` (the trainers). Rows that both have consumed are evicted immediately.
"""

import dataclasses

ROWS, LARGE = "demo.rows", "demo.large"
SCORE, TRAIN = "score", "train"
GROUP_ROWS = 4  # samples per prompt
BATCH_ROWS = 64  # of rollout and scoring; a training step
WINDOW_ROWS = 32 * BATCH_ROWS  # generation is at most this many rows ahead of training
INPUTS, SCORES = ("prompt_ids", "response_ids"), ("reward", "logprobs")
SCORED = {"status": "scored"}  # merged into a row's tag with its scores
LEASE_MS = 2000  # of a scorer
KILLED = "demo.killed"  # a string: the number of the scorer that was killed


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rows have ids 0..rows-1, and those of a prompt are adjacent."""

    rows: int  # whole groups

    @property
    def large_rows(self):
        return min(max(8, self.rows // 50), 400)

    @property
    def batches(self):
        return range(-(-self.rows // BATCH_ROWS))

    def ids(self, batch):
        return range(batch * BATCH_ROWS, min((batch + 1) * BATCH_ROWS, self.rows))

    @property
    def fatal_row(self):
        """Returns the row whose first scorer is killed while it holds the lease: in the middle of the run."""
        return self.rows // 2

    # Of each four pairs of batches (a pair: one for each rollout worker) ...

    @staticmethod
    def row_by_row(batch):  # the first and the third are put row by row, the others as a batch
        return batch // 2 % 2 == 0

    @staticmethod
    def keys_by_server(batch):
        return batch // 2 % 4 == 1

    @staticmethod
    def streamed(row_id):
        """Of the rows put row by row: whether the response comes in chunks."""
        return row_id % 3 == 0


def name_rows(ids):
    return f"row {ids[0]}" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
