"""init() with TransferQueue's configuration, and the settings that all processes of the job share.

Sampler and polling mode follow the job, as with TransferQueue's controller. An init() that is given one of them writes
both to the string "sluice.compat" of the server, as JSON, and replaces others there, such as those of a job that ended
without close(). An init() that is given neither, and a process without init(), reads them there, once. close() of the
process that wrote them removes them.

Pickles never follow the job: whoever may write to the server could otherwise allow them. allow_pickle is a setting of
init() or the environment variable SLUICE_ALLOW_PICKLE=1.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
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
from sluice.wire import Wire

_KEY = "sluice.compat"
_SETTINGS = {each.name for each in fields(Config)}
_SECTIONS = ("controller", "metrics", "backend")
_BACKEND = "SimpleStorage"
_DEFAULTS = {"sampler": "SequentialSampler", "polling_mode": False}
_log = logging.getLogger("sluice.compat")
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
    sluice.init() takes. `metrics` starts the exporter of a server that this call starts.

    A conf with a sampler or a polling mode sets both for the job, for this process and those that come later; the one
    that is missing has its default. If the server has other settings, they are replaced, and the log says so (in
    TransferQueue, those of the first process stay). Without both, this process takes the settings of the job.

    Unlike TransferQueue's, the result is a sluice.Config. The data are in the server, whatever the backend is called.

    Errors: ValueError for an unknown sampler; as sluice.init().
    """
    return _join(conf).config


def _join(conf: Any) -> Session:
    """Connects this process and gives its session the settings of the job, which conf may replace."""
    global _joined
    named, mine = _named(conf)
    strict.init(named)
    wire = strict.current().wire
    told = wire.call("GET", _KEY, repeat=True) if not mine else _tell(wire, _DEFAULTS | mine)
    settings = _told_form(_DEFAULTS) if told is None else json.loads(told)
    sampler = _read_sampler(settings["sampler"], strict.current().config.allow_pickle, mine.get("sampler"))
    strict.init({"sampler": sampler, "polling_mode": settings["polling_mode"]})
    _joined = strict.current()
    return _joined


def _tell(wire: Wire, settings: dict[str, Any]) -> str:
    """Makes these the settings of the job. Returns them as they are told."""
    global _told
    text = json.dumps(_told_form(settings))
    before = wire.call("SET", _KEY, text, "GET")
    if before != text.encode():
        _told = text
    if before not in (None, text.encode()):
        _log.warning("the settings of the job on the server were %s; they are now %s", _shown(before), _shown(text))
    return text


def _shown(told: str | bytes) -> str:
    settings = json.loads(told)
    return f"{settings['sampler']['class']} {settings['sampler'].get('options', '')}, polling_mode {settings['polling_mode']}"


def close() -> None:
    """Closes the connections of this process. Removes the settings of the job if they are those that this process told.

    Unlike TransferQueue's close(), it leaves the data to the other processes of the job. The local server stops with the
    last of them.
    """
    global _told
    if _told is not None:
        text, _told = _told.encode(), None
        with contextlib.suppress(SluiceError):
            strict.current().wire.transact([_KEY], lambda wire: [["DEL", _KEY]] if wire.call("GET", _KEY) == text else [])
    strict.close()


def session() -> Session:
    """Returns the session of this process, with the settings of the job. Attaches to a running server without init()."""
    now = strict.current()
    return now if now is _joined else _join(None)


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
            f"that ended without close(), give init() a sampler, or remove the string '{_KEY}' from the server"
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
