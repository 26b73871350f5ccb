"""Tensors of every dtype as bytes and back, for the tests: the work of a client without a library."""

import numpy as np
import torch

TORCH = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
NUMPY = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


def item_size(dtype):
    return torch.empty((), dtype=TORCH[dtype]).element_size()


def random_tensor(dtype, shape, seed=0):
    """Random bits, so that NaN payloads and denormal numbers occur; bools are 0 and 1."""
    generator = np.random.default_rng(seed)
    size = item_size(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    high = 2 if dtype == "bool" else 256
    raw = torch.from_numpy(generator.integers(0, high, count * size, dtype=np.uint8))
    return raw.view(TORCH[dtype]).reshape(shape) if count else torch.empty(shape, dtype=TORCH[dtype])


def to_bytes(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def from_bytes(data, dtype, shape):
    if not data:
        return torch.empty(shape, dtype=TORCH[dtype])
    return torch.frombuffer(bytearray(data), dtype=TORCH[dtype]).reshape(shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and to_bytes(a) == to_bytes(b)


def packed(numbers):
    return np.array(numbers, dtype="<i8").tobytes()


def columns(reply):
    """{name: (dtype, shape, shapes as list of tuples or None, data)}"""
    result = {}
    for name, dtype, shape, shapes, data, *_ in reply:
        rank = len(shape) - 1
        rows = None if shapes is None else np.frombuffer(shapes, "<i8").reshape(-1, rank).tolist()
        result[name.decode()] = (dtype.decode(), tuple(shape), rows, data)
    return result
