"""The session of a process after init(): a Config, and the connections that all calls share.

Thread safety: any thread and any event loop. A forked child continues with the session of its parent. A spawned process
attaches to the server of its job at its first call.
"""

from __future__ import annotations

import atexit
import dataclasses
import math
import os
import re
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from redis.connection import parse_url

from sluice.errors import ConnectionLost, NotInitialized, SluiceError
from sluice.local_server import LocalServer, Options, job_name
from sluice.samplers import BaseSampler, make_sampler
from sluice.wire import Wire


@dataclass(frozen=True, repr=False)
class Config:
    """The address of the server and the default settings of calls. Can be pickled and passed to spawned workers.

    Errors: ValueError that names the setting and the expected value.
    """

    url: str
    """The address of the server: redis://[[user]:password@]host:port, rediss://... for TLS, or unix:///path/to.sock."""

    allow_pickle: bool = False
    """Whether Python objects that are not JSON are sent as pickles. Every writer of the server can then run code here."""

    timeout_s: float = 60.0
    """Seconds that the server may be silent in any call, in addition to the wait time of the call."""

    sampler: BaseSampler | None = None
    """The default sampler of get_meta: a sampler, a class or its name. None means rows in their order."""

    polling_mode: bool = False
    """Whether get_meta returns an empty batch, instead of waiting, when too few rows are ready."""

    server: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    """Options for a server that init() starts, such as {"maxmemory": "8gb"}; conf/sluice.conf lists them. In the result
    of init(): the options with which the server of the job was started."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name in ("allow_pickle", "polling_mode"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        seconds = self.timeout_s
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise ValueError(f"timeout_s must be a number of seconds above 0, got {seconds!r}")
        object.__setattr__(self, "sampler", None if self.sampler is None else make_sampler(self.sampler))
        object.__setattr__(self, "server", _server_options(self.server))

    def __repr__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        shown["url"] = _without_password(self.url)
        return f"Config({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Session:
    """The settings and the connections of this process."""

    def __init__(self, config: Config, wire: Wire, local: LocalServer | None) -> None:
        self.config = config
        self.wire = wire
        self._local = local  # None: this package does not start or stop the server


def init(conf: Config | Mapping[str, Any] | str | None = None) -> Config:
    """Connects this process to its server and returns the settings in use. Blocks until the server answers.

    conf: an address, a Config, or a mapping with the names of Config. TransferQueue's {"controller": {"sampler": ...,
    "polling_mode": ...}} is accepted. Its backend and metrics are ignored with a warning.

    Without an address in conf or SLUICE_URL, the processes of one job on this machine share a server, which the first
    process starts. The job is SLUICE_JOB, else SLURM_JOB_ID or TORCHELASTIC_RUN_ID, else "default". When the last
    process has closed or ended, the server stops, and its data is lost.

    A second init() keeps the address. The other settings that it names are used from then on.

    Errors: ValueError for an unknown or invalid setting; SluiceError if there is another address already, if another
    server than Sluice answers, and if no server can be started (the text names the four places of the binary);
    ConnectionLost if no server answers at the address; CallTimeout after timeout_s.
    """
    named = _named_settings(conf)
    with _mutex:
        before = _session
        if before is None:
            return _begin(named, start=True).config
        _check_same_server(before.config, named.get("url", before.config.url))
        config = dataclasses.replace(before.config, **named)
        return _open(config, before._local, start="url" not in named).config


def close() -> None:
    """Closes the connections of this process. The server of the job stops if no other process uses it.

    Calls that wait in other threads end with ConnectionLost or Unconfirmed, and so do the datasets and the loaders that
    they iterate. May be called at any time. An init() right after it may still find the server.
    """
    _leave(Wire.close)
    for each in list(_ended_with_close):
        each.close()


class _Closeable(Protocol):
    def close(self) -> None: ...


_ended_with_close: weakref.WeakSet[_Closeable] = weakref.WeakSet()
os.register_at_fork(after_in_child=_ended_with_close.clear)  # a worker that calls close() ends only what is its own


def end_with_close(waiting: _Closeable) -> None:
    """Makes close() also close an object whose waiting is not in a call of this process. Keeps no reference to it."""
    _ended_with_close.add(waiting)


def _leave(close_connections: Callable[[Wire], None]) -> None:
    global _session
    with _mutex:
        session, _session = _session, None
        if session is not None:
            close_connections(session.wire)
            if session._local is not None:
                session._local.leave()


def current() -> Session:
    """Returns the session of this process. Without init(), attaches to SLUICE_URL or to the running server of the job.

    Errors: NotInitialized if there is no server; ConnectionLost if no server answers at SLUICE_URL.
    """
    session = _session
    if session is None:
        with _mutex:
            session = _session or _attached()
    return session


def configured(conf: Config | Mapping[str, Any] | str) -> Config:
    """Returns the settings that conf names, for one object. Those of the process fill the gaps, and stay as they are.

    In a process without a session this is init(conf). Errors: as init().
    """
    if isinstance(conf, Config):
        return conf
    before = _session
    if before is None:
        return init(conf)
    config = dataclasses.replace(before.config, **_named_settings(conf))
    _check_same_server(before.config, config.url)
    return config


def session_for(config: Config) -> Session:
    """Returns a session with the settings of one object, over the connections of this process.

    The settings of the process stay as they are; without a session, they become those of the process. Errors: as init().
    """
    with _mutex:
        if _session is None:
            init(config)
        of_process = current()
    _check_same_server(of_process.config, config.url)
    return Session(config, of_process.wire.with_timeout(config.timeout_s), None)


def _check_same_server(config: Config, url: str) -> None:
    if url != config.url:
        raise SluiceError(
            f"this process uses the server at {_without_password(config.url)}: call close() before "
            f"init() with {_without_password(url)}"
        )


_session: Session | None = None
_mutex = threading.RLock()  # held to change _session
# A fork waits for the lock, so the child gets neither half a session nor a lock that no thread releases.
os.register_at_fork(before=_mutex.acquire, after_in_parent=_mutex.release, after_in_child=_mutex.release)
atexit.register(_leave, Wire.forget)  # daemon threads end with the process, without an error


def _attached() -> Session:
    try:
        return _begin({}, start=False)
    except ConnectionLost:
        if os.environ.get("SLUICE_URL"):
            raise
        raise NotInitialized(
            f"call init() first: SLUICE_URL is not set, and job {job_name()!r} has no server on this machine"
        ) from None


def _begin(named: dict[str, Any], *, start: bool) -> Session:
    """Makes the first session of this process: finds its address."""
    url = named.get("url") or os.environ.get("SLUICE_URL")
    local = LocalServer.at(url) if url else LocalServer.of_this_job()
    config = Config(**{**named, "url": url or (local and local.url)})
    return _open(config, local, start=start and not url)


def _open(config: Config, local: LocalServer | None, *, start: bool) -> Session:
    """Makes a session with this config the session of this process, when the server answers."""
    global _session
    before = _session
    running: Options = {}
    if local is not None:
        found = local.attach(config.server, start=start, timeout_s=config.timeout_s)
        if found is None:
            raise ConnectionLost(f"no server runs at {config.url}")
        running = found
    ignored = {name: value for name, value in config.server.items() if running.get(name) != value}
    if ignored:
        warnings.warn(f"the server is already running; ignored options: {ignored}", stacklevel=4)
    config = dataclasses.replace(config, server=running)
    wire = before.wire.with_timeout(config.timeout_s) if before is not None else Wire(config.url, timeout_s=config.timeout_s)
    try:
        _check_server(wire, config.url)
    except BaseException:
        if before is None and local is not None:
            local.leave()
        raise
    _session = Session(config, wire, local)
    return _session


def _check_server(wire: Wire, url: str | None) -> None:
    """Waits for an answer. Errors: SluiceError if another server than Sluice, such as Redis, gives it."""
    hello = wire.call("HELLO", repeat=True)
    if b"sluice_version" not in hello:
        named = f"{hello[b'server'].decode()} {hello[b'version'].decode()}"
        where = _without_password(url or "")
        raise SluiceError(f"the server at {where} is {named}, not Sluice")


def _named_settings(conf: Config | Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Returns the settings that conf names, by the names of Config."""
    if conf is None:
        return {}
    if isinstance(conf, str):
        return {"url": conf}
    if isinstance(conf, Config):
        return {name: getattr(conf, name) for name in _NAMES}
    named: dict[str, Any] = {}
    ignored = []
    for name, value in _items("conf", conf):
        if name in _NAMES:
            named[name] = value
        elif name == "controller":
            for inner, setting in _items(name, value):
                if inner in ("sampler", "polling_mode"):
                    named[inner] = setting
                elif inner == "zmq_info":
                    ignored.append("controller.zmq_info")
                else:
                    raise ValueError(f"unknown setting 'controller.{inner}': controller has sampler and polling_mode")
        elif name in ("backend", "metrics"):
            ignored.append(name)
        else:
            raise ValueError(f"unknown setting {name!r}: known are {', '.join(_NAMES)}, and TransferQueue's controller")
    if named.get("url"):
        _check_url(named["url"])
    if ignored:
        warnings.warn(f"ignored settings of TransferQueue without a meaning in Sluice: {', '.join(ignored)}", stacklevel=3)
    return named


_NAMES = tuple(field.name for field in dataclasses.fields(Config))


def _items(name: str, mapping: Any) -> Iterator[tuple[str, Any]]:
    """Returns the items of a mapping or similar object (OmegaConf does not inherit from Mapping), without None values."""
    if not hasattr(mapping, "items"):
        raise ValueError(f"{name} must be a mapping, got {mapping!r}")
    return ((str(key), value) for key, value in mapping.items() if value is not None)


def _check_url(url: Any) -> None:
    try:
        if isinstance(url, str):
            parse_url(url)
            return
    except ValueError:
        pass  # the text of this error may contain a part of a password
    shown = _without_password(url) if isinstance(url, str) else repr(url)
    raise ValueError(
        f"invalid address {shown}: expected redis://[[user]:password@]host:port, rediss://... or unix:///path/to.sock"
    ) from None


def _without_password(url: str) -> str:
    url = re.sub(r"(://[^:@/]*:).*@", r"\1***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", url)


def _server_options(options: Any) -> dict[str, str | int]:
    checked: dict[str, str | int] = {}
    for name, value in _items("server", options):
        if not re.fullmatch("[a-z][a-z-]*", name) or isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"invalid server option {name!r}: {value!r}: expected a name of conf/sluice.conf and a str or int")
        if name in ("port", "unixsocket", "unixsocketperm", "requirepass"):
            raise ValueError(f"init() sets server option {name!r} itself: to set it, start a server and pass its address")
        checked[name] = value
    return checked
