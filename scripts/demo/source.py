"""The demo's input: real text that every Debian machine has, split into prompts, and the tensors of each row.

Everything is a function of the row's id and of the files, so a trainer can recompute a row and compare it with the
server's, without a message from the workers that wrote it.
"""

import dataclasses
import glob
import itertools
import os
import re

import numpy
from plan import GROUP_ROWS

FILES = ("/usr/share/common-licenses/*", "/usr/share/doc/*/copyright", "/usr/share/base-files/*")
TEXT_BYTES_MAX = 8 << 20  # enough variety, and quick to read
PROMPT_TOKENS = (16, 1024)
RESPONSE_TOKENS = (16, 512)
LARGE_SHAPE = (256, 1024)  # float32: 1 MiB


@dataclasses.dataclass(frozen=True)
class Prompt:
    path: str
    offset: int  # in the file
    start: int  # in all text
    length: int


class Corpus:
    """All text, one token per byte, and the prompts (paragraphs) in it. Immutable once made."""

    def __init__(self):
        self.prompts, texts, total = [], [], 0
        for path in sorted(set(map(os.path.realpath, itertools.chain(*map(glob.glob, FILES))))):
            if total >= TEXT_BYTES_MAX or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                text = file.read(TEXT_BYTES_MAX - total)
            self.prompts += prompts_of(path, text, total)
            texts.append(text)
            total += len(text)
        if not self.prompts:
            raise SystemExit("the demo reads " + ", ".join(FILES) + ", but found no text there")
        self.files = len(texts)
        self.tokens = numpy.frombuffer(b"".join(texts), numpy.uint8)
        counts = numpy.bincount(self.tokens, minlength=256)
        self.logprob_of_token = numpy.log((counts + 1) / (self.tokens.size + 256)).astype(numpy.float32)
        enough = numpy.resize(self.tokens, max(self.tokens.size, 2 * LARGE_SHAPE[0] * LARGE_SHAPE[1]))
        self.logprobs = self.logprob_of_token[enough]

    def inputs(self, row_id):
        """Returns a rollout's data: a prompt, and as its response the following text, of a different length for each sample."""
        prompt = self._prompt(row_id)
        low, high = RESPONSE_TOKENS
        length = low + row_id * 7919 % (high - low + 1)
        return {
            "prompt_ids": self._text(prompt.start, prompt.length),  # int64 [P]
            "response_ids": self._text(prompt.start + prompt.length, length),  # int64 [R]
        }

    def scores(self, prompt_ids, response_ids):
        """Returns the scorer's data for these. The tokens are bytes."""
        response = response_ids.astype(numpy.uint8)
        in_prompt = numpy.zeros(256, bool)
        in_prompt[prompt_ids.astype(numpy.uint8)] = True
        return {
            "reward": numpy.float32(in_prompt[response].mean()),  # scalar: the share of tokens that also occur in the prompt
            "logprobs": self.logprob_of_token[response],  # float32 [R]
        }

    def row(self, row_id):
        inputs = self.inputs(row_id)
        return inputs | self.scores(**inputs)

    def tag(self, row_id, step):
        """Returns the tag that the rollout worker writes with the row's data."""
        prompt = self._prompt(row_id)
        group = {"id": row_id, "uid": f"prompt-{row_id // GROUP_ROWS}"}
        return group | {"global_steps": step, "source": prompt.path, "offset": prompt.offset}

    def large(self, row_id):
        """Hidden states of a model, 1 MiB of float32: the logprobs of all text from a position on. A view: no work."""
        count = LARGE_SHAPE[0] * LARGE_SHAPE[1]
        start = row_id * 4099 % (self.logprobs.size - count)
        return self.logprobs[start : start + count].reshape(LARGE_SHAPE)

    def _prompt(self, row_id):
        return self.prompts[row_id // GROUP_ROWS % len(self.prompts)]

    def _text(self, start, length):
        return self.tokens.take(numpy.arange(start, start + length), mode="wrap").astype(numpy.int64)


def prompts_of(path, text, start):
    for paragraph in re.finditer(rb"(?:[^\n]*\S[^\n]*\n?)+", text):
        offset, length = paragraph.start(), min(len(paragraph.group()), PROMPT_TOKENS[1])
        if length >= PROMPT_TOKENS[0]:
            yield Prompt(path, offset, start + offset, length)
