"""init() with TransferQueue's configuration, and the settings that all processes of the job share.

Sampler and polling mode follow the job, as with TransferQueue's controller: the first init() writes them to the string
"sluice.compat" of the server, as JSON, and every process reads them there. close() of that process removes the string.
Pickles never follow the job: whoever may write to the server could otherwise allow them. allow_pickle is a setting of
init() or the environment variable SLUICE_ALLOW_PICKLE=1.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import socket
import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from redis.connection import parse_url

from sluice import session as strict
from sluice.compat._samplers import SAMPLERS, options_of
from sluice.errors import SluiceError
from sluice.samplers import BaseSampler, make_sampler
from sluice.session import Config, Session

_KEY = "sluice.compat"
_SETTINGS = {each.name for each in fields(Config)}
_SECTIONS = ("controller", "metrics", "backend")
_BACKEND = "SimpleStorage"
_joined: Session | None = None  # the session of this process that has the settings of the job
_told: str | None = None  # the settings that this process told the server


def _forget_told() -> None:
    global _told
    _told = None


os.register_at_fork(after_in_child=_forget_told)  # close() in a worker leaves the settings to the job


def init(conf: Any = None) -> Config:
    """Connects this process to the server of the job, and returns the settings in use.

    conf: a mapping with the sections `controller` (sampler, polling_mode), `metrics` (enabled, port) and `backend` of
    TransferQueue, with settings of sluice.Config, or with other names, which are ignored with a warning; or what
    sluice.init() takes. If the job has a sampler and a polling mode, they stay, and those of conf are ignored, as in
    TransferQueue. `metrics` starts the exporter of a server that this call starts.

    Unlike TransferQueue's, the result is a sluice.Config. The data are in the server, whatever the backend is called.

    Errors: ValueError for an unknown sampler; as sluice.init().
    """
    return _join(conf, tell=True).config


def _join(conf: Any, *, tell: bool) -> Session:
    """Connects this process and gives its session the settings of the job. `tell`: writes them if the job has none."""
    global _joined, _told
    named, mine = _named(conf)
    strict.init(named)
    wire = strict.current().wire
    text = json.dumps(_told_form({"sampler": "SequentialSampler", "polling_mode": False} | mine))
    if tell and wire.call("SET", _KEY, text, "NX") is not None:
        _told = text
    there = str(wire.call("GET", _KEY, repeat=True) or text.encode(), "utf-8")
    if mine and there != text:
        warnings.warn(f"the job has other settings already; ignored: {', '.join(mine)}", stacklevel=3)
    settings = json.loads(there)
    sampler = _read_sampler(settings["sampler"], strict.current().config.allow_pickle, mine.get("sampler"))
    strict.init({"sampler": sampler, "polling_mode": settings["polling_mode"]})
    _joined = strict.current()
    return _joined


def close() -> None:
    """Closes the connections of this process, and ends the settings of the job if this process has told them.

    Unlike TransferQueue's close(), it leaves the data to the other processes of the job. The local server stops with the
    last of them.
    """
    global _told
    if _told is not None:
        with contextlib.suppress(SluiceError):
            strict.current().wire.call("DEL", _KEY)
        _told = None
    strict.close()


def session() -> Session:
    """Returns the session of this process, with the settings of the job. Attaches to a running server without init()."""
    now = strict.current()
    return now if now is _joined else _join(None, tell=False)


def configured(conf: Any) -> Config:
    """Returns the settings for a dataset: those of the job, which conf may start."""
    return conf if isinstance(conf, Config) else init(conf)


def get_metrics_endpoint() -> str | None:
    """Returns host:port of the server's metrics, or None if it serves none (docs/metrics.md)."""
    now = session()
    port = int(now.wire.call("CONFIG", "GET", "metrics-port", repeat=True)[b"metrics-port"])
    return f"{parse_url(now.config.url).get('host', 'localhost')}:{port}" if port else None


def save_checkpoint(checkpoint_dir: Any, *, include_storage: bool = True, metadata: Mapping[str, Any] | None = None) -> None:
    """Raises NotImplementedError: checkpoints come with durability."""
    raise NotImplementedError("checkpoints come with durability, which the server does not have yet")


def load_checkpoint(checkpoint_dir: Any) -> None:
    """Raises NotImplementedError: checkpoints come with durability."""
    save_checkpoint(checkpoint_dir)


def _named(conf: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of sluice.Config, and those of the job, that conf names."""
    if isinstance(conf, Config):
        conf = {name: getattr(conf, name) for name in _SETTINGS}
    conf = {"url": conf} if isinstance(conf, str) else dict(strict._items("conf", conf or {}))
    named = {name: value for name, value in conf.items() if name in _SETTINGS}
    controller, metrics, backend = (
        dict(strict._items(name, conf.get(name) or {})) for name in ("controller", "metrics", "backend")
    )
    mine = {name: value for part in (named, controller) for name, value in part.items() if name in ("sampler", "polling_mode")}
    if "sampler" in mine:
        mine["sampler"] = _sampler(mine["sampler"])
    ignored = [name for name in conf if name not in _SETTINGS | {*_SECTIONS, "enable"}]
    ignored += [f"controller.{name}" for name in controller if name not in ("sampler", "polling_mode", "zmq_info")]
    if backend.get("storage_backend", _BACKEND) != _BACKEND:
        ignored.append(f"backend.storage_backend {backend['storage_backend']!r}: the server keeps the data")
    limits = dict(strict._items(_BACKEND, backend.get(_BACKEND) or {}))
    if limits.get("total_storage_size") is not None:
        ignored.append(f"backend.{_BACKEND}.total_storage_size: the server has maxmemory, a partition max_rows")
    if ignored:
        warnings.warn(f"ignored settings: {', '.join(ignored)}", stacklevel=4)
    if metrics.get("enabled"):
        named["server"] = {"metrics-port": metrics.get("port") or _free_port(), **dict(named.get("server") or {})}
    if os.environ.get("SLUICE_ALLOW_PICKLE") == "1":
        named.setdefault("allow_pickle", True)
    return {name: value for name, value in named.items() if name not in mine}, mine


def _sampler(choice: Any) -> BaseSampler:
    return make_sampler(SAMPLERS.get(choice, choice) if isinstance(choice, str) else choice)


def _told_form(mine: dict[str, Any]) -> dict[str, Any]:
    """Returns settings as JSON values: a sampler of this package by its name and options, another one as a pickle."""
    sampler = _sampler(mine["sampler"])
    kind = type(sampler)
    told: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__name__}", "options": options_of(sampler)}
    if not _of_this_package(told["class"]):
        told["pickle"] = base64.b64encode(pickle.dumps(sampler)).decode()
        del told["options"]
    return {"sampler": told, "polling_mode": bool(mine["polling_mode"])}


def _read_sampler(told: Mapping[str, Any], allow_pickle: bool, own: BaseSampler | None) -> BaseSampler:
    """Returns the sampler of the job. Errors: SluiceError for a pickle that is not allowed, except for the `own` sampler."""
    module, _, name = told["class"].rpartition(".")
    if _of_this_package(told["class"]):
        made: BaseSampler = getattr(import_module(module), name)(**told["options"])
        return made
    if own is not None and type(own).__name__ == name:
        return own
    if not allow_pickle:
        raise SluiceError(f"the job samples with {told['class']}, which is a pickle: set allow_pickle in every process")
    try:
        unpickled: BaseSampler = pickle.loads(base64.b64decode(told["pickle"]))
    except (ImportError, AttributeError) as error:
        raise SluiceError(
            f"the job samples with {told['class']}, which this process cannot import ({error}). If these are settings of a job "
            f"that ended without close(), remove the string '{_KEY}' from the server"
        ) from error
    return unpickled


def _of_this_package(name: str) -> bool:
    module, _, kind = name.rpartition(".")
    return module in ("sluice.samplers", "sluice.compat._samplers") and kind in SAMPLERS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port
