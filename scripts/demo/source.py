"""The demo's input: real text that every Debian machine has, cut into prompts, and the tensors of each row.

Everything is a function of the row's id and of the files, so a reader can make a row again and compare it
with what came out of the server, without having been told anything by the writer.
"""

import dataclasses
import glob
import itertools
import os
import re

import numpy

FILES = ("/usr/share/common-licenses/*", "/usr/share/doc/*/copyright", "/usr/share/base-files/*")
TEXT_BYTES_MAX = 8 << 20  # enough for variety, and read in no time
PROMPT_BYTES = (16, 1024)
LARGE_SHAPE = (256, 1024)  # float32: 1 MiB


@dataclasses.dataclass(frozen=True)
class Prompt:
    path: str
    offset: int
    length: int


class Corpus:
    """The texts by path, and the prompts (paragraphs) in them. Immutable once made."""

    def __init__(self):
        self.texts = {}
        self.prompts = []
        total = 0
        for path in sorted(set(map(os.path.realpath, itertools.chain(*map(glob.glob, FILES))))):
            if total >= TEXT_BYTES_MAX or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                self.texts[path] = text = file.read(TEXT_BYTES_MAX - total)
            total += len(text)
            for paragraph in re.finditer(rb"(?:[^\n]*\S[^\n]*\n?)+", text):
                start, length = paragraph.start(), min(len(paragraph.group()), PROMPT_BYTES[1])
                if length >= PROMPT_BYTES[0]:
                    self.prompts.append(Prompt(path, start, length))
        if not self.prompts:
            raise SystemExit("the demo reads " + ", ".join(FILES) + ", and found no text there")
        self.bytes = numpy.frombuffer(b"".join(self.texts.values()), numpy.uint8)
        counts = numpy.bincount(self.bytes, minlength=256)
        self.logprob_of_byte = numpy.log((counts + 1) / (self.bytes.size + 256)).astype(numpy.float32)

    def prompt(self, row_id):
        return self.prompts[row_id % len(self.prompts)]

    def tag(self, row_id):
        """What the rollout worker writes beside the row's data."""
        prompt = self.prompt(row_id)
        return {
            "id": row_id,
            "global_steps": row_id // 256,
            "source": prompt.path,
            "offset": prompt.offset,
            "length": prompt.length,
            "status": "running",
        }

    def fields(self, row_id):
        """What a rollout makes of a prompt: field -> array, or bytes. L is the number of bytes, one token each."""
        prompt = self.prompt(row_id)
        text = self.texts[prompt.path][prompt.offset : prompt.offset + prompt.length]
        tokens = numpy.frombuffer(text, numpy.uint8)
        return {
            "prompt": text,
            "input_ids": tokens.astype(numpy.int64),  # [L]
            "attention_mask": tokens > 32,  # bool [L]: 0 at white space
            "logprobs": self.logprob_of_byte[tokens],  # float32 [L]
            "histogram": (numpy.bincount(tokens >> 4, minlength=16) / tokens.size).astype(numpy.float16),  # [16]
        }

    def reward(self, row_id):
        """What a reward model says of it: float32 scalar, the share of letters."""
        text = self.fields(row_id)["prompt"]
        return numpy.float32(sum(map(text.count, (b"a", b"e", b"i", b"o", b"u"))) / len(text))

    def large(self, row_id):
        """Hidden states of a model, 1 MiB of float32: the text from a place on, each byte looked up and scaled."""
        places = numpy.arange(row_id * 4099, row_id * 4099 + LARGE_SHAPE[0] * LARGE_SHAPE[1])
        table = self.logprob_of_byte * numpy.float32(row_id + 1)
        return table[self.bytes.take(places, mode="wrap")].reshape(LARGE_SHAPE)


SCORED = {"status": "finished", "reward_model": "vowels"}  # merged into a row's tag with its reward
