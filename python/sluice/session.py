"""What a process has of init(): a Config, and the connections that all calls share.

Thread safety: any thread, any event loop. A fork's child goes on with its parent's session; a spawned process attaches to
its job's server by itself, at its first call.
"""

from __future__ import annotations

import atexit
import dataclasses
import math
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis.connection import parse_url

from sluice.errors import ConnectionLost, NotInitialized, SluiceError
from sluice.local_server import LocalServer, Options, job_name
from sluice.samplers import BaseSampler, make_sampler
from sluice.wire import Wire


@dataclass(frozen=True, repr=False)
class Config:
    """Where the server is, and what calls do unless told otherwise. Can be pickled, so it reaches spawned workers.

    Errors: ValueError naming the setting and what was expected.
    """

    url: str
    """The server's address: redis://[[user]:password@]host:port, rediss://... for TLS, or unix:///path/to.sock."""

    allow_pickle: bool = False
    """Whether Python objects that are not JSON travel, as pickles. Whoever can write to the server can then run code here."""

    timeout_s: float = 60.0
    """Seconds that the server may be silent in any call, on top of what the call itself may wait."""

    sampler: BaseSampler | None = None
    """That of get_meta, where a call names none; a class or its name will do. None: rows in their order."""

    polling_mode: bool = False
    """Whether get_meta returns an empty batch, instead of waiting, when too few rows are ready."""

    server: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    """Options for a server that init() starts, such as {"maxmemory": "8gb"}; conf/sluice.conf lists them. In what init()
    returns: those that the job's server was started with."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name in ("allow_pickle", "polling_mode"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: True or False is expected")
        seconds = self.timeout_s
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise ValueError(f"timeout_s is {seconds!r}: a number of seconds above 0 is expected")
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
        self._local = local  # None: a server that is not for us to start or stop


def init(conf: Config | Mapping[str, Any] | str | None = None) -> Config:
    """Connects this process to its server, and returns the settings in use. Blocks until the server answers.

    conf: an address, a Config, or a mapping of Config's names. TransferQueue's {"controller": {"sampler": ...,
    "polling_mode": ...}} is understood; its backend and metrics are ignored, with a warning.

    Without an address in conf or SLUICE_URL, the processes of one job on this machine share a server, which the first one
    starts. The job is SLUICE_JOB, else SLURM_JOB_ID or TORCHELASTIC_RUN_ID, else "default". When the last of them has closed
    or ended, the server is stopped, and its data is gone.

    A second init() keeps the address; the other settings that it names hold from then on.

    Errors: ValueError for a setting that is unknown or wrong; SluiceError if there is another address already, and if no
    server can be started (it names the four places of the binary); ConnectionLost if nobody answers at the address;
    CallTimeout after timeout_s.
    """
    named = _named_settings(conf)
    with _mutex:
        before = _session
        if before is None:
            return _begin(named, start=True).config
        if named.get("url", before.config.url) != before.config.url:
            raise SluiceError(
                f"this process uses the server at {_without_password(before.config.url)}: close() it before "
                f"init() with {_without_password(named['url'])}"
            )
        config = dataclasses.replace(before.config, **named)
        return _open(config, before._local, start="url" not in named).config


def close() -> None:
    """Ends this process's part: its connections are closed, and the job's server is stopped if nobody else uses it.

    May be called at any time, and is called when the process ends. An init() that comes at once may still find the server.
    """
    global _session
    with _mutex:
        session, _session = _session, None
        if session is not None:
            session.wire.close()
            if session._local is not None:
                session._local.leave()


def current() -> Session:
    """This process's session. Where init() was not called, attaches by SLUICE_URL or to the job's server, if one runs.

    Errors: NotInitialized if there is none; ConnectionLost if nobody answers at SLUICE_URL.
    """
    session = _session
    if session is None:
        with _mutex:
            session = _session or _attached()
    return session


_session: Session | None = None
_mutex = threading.RLock()  # held to change _session
# A fork waits until no thread is inside, so that the child gets neither half a session nor a lock that nobody gives back.
os.register_at_fork(before=_mutex.acquire, after_in_parent=_mutex.release, after_in_child=_mutex.release)
atexit.register(close)


def _attached() -> Session:
    try:
        return _begin({}, start=False)
    except ConnectionLost:
        if os.environ.get("SLUICE_URL"):
            raise
        raise NotInitialized(
            f"call init() first: SLUICE_URL is not set, and job {job_name()!r} runs no server on this machine"
        ) from None


def _begin(named: dict[str, Any], *, start: bool) -> Session:
    """The first session of this process: finds its address."""
    url = named.get("url") or os.environ.get("SLUICE_URL")
    local = LocalServer.at(url) if url else LocalServer.of_this_job()
    config = Config(**{**named, "url": url or (local and local.url)})
    return _open(config, local, start=start and not url)


def _open(config: Config, local: LocalServer | None, *, start: bool) -> Session:
    """Makes it this process's session, once the server answers."""
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
        warnings.warn(f"the server runs already; ignored are its options {ignored}", stacklevel=4)
    config = dataclasses.replace(config, server=running)
    keep = before is not None and before.config.timeout_s == config.timeout_s
    wire = before.wire if before is not None and keep else Wire(config.url, timeout_s=config.timeout_s)
    try:
        wire.call("PING", repeat=True)
    except BaseException:
        if before is None and local is not None:
            local.leave()
        raise
    if before is not None and not keep:
        before.wire.close()
    _session = Session(config, wire, local)
    return _session


def _named_settings(conf: Config | Mapping[str, Any] | str | None) -> dict[str, Any]:
    """What conf names, by Config's names."""
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
                    raise ValueError(f"conf has no setting 'controller.{inner}': controller has sampler and polling_mode")
        elif name in ("backend", "metrics"):
            ignored.append(name)
        else:
            raise ValueError(f"conf has no setting {name!r}: there are {', '.join(_NAMES)}, and TransferQueue's controller")
    if named.get("url"):
        _check_url(named["url"])
    if ignored:
        warnings.warn(f"TransferQueue's {', '.join(ignored)} have no meaning for Sluice, and are ignored", stacklevel=3)
    return named


_NAMES = tuple(field.name for field in dataclasses.fields(Config))


def _items(name: str, mapping: Any) -> Iterator[tuple[str, Any]]:
    """Of a mapping, or what looks like one (OmegaConf's does not inherit from Mapping). None is a setting not made."""
    if not hasattr(mapping, "items"):
        raise ValueError(f"{name} is {mapping!r}: a mapping is expected")
    return ((str(key), value) for key, value in mapping.items() if value is not None)


def _check_url(url: Any) -> None:
    try:
        if isinstance(url, str):
            parse_url(url)
            return
    except ValueError:
        pass  # its text may hold a piece of a password
    shown = _without_password(url) if isinstance(url, str) else repr(url)
    raise ValueError(
        f"{shown} is no address: redis://[[user]:password@]host:port, rediss://... or unix:///path/to.sock is expected"
    ) from None


def _without_password(url: str) -> str:
    url = re.sub(r"(://[^:@/]*:).*@", r"\1***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", url)


def _server_options(options: Any) -> dict[str, str | int]:
    checked: dict[str, str | int] = {}
    for name, value in _items("server", options):
        if not re.fullmatch("[a-z][a-z-]*", name) or isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"server option {name!r} is {value!r}: a name as in conf/sluice.conf, and str or int, are expected")
        if name in ("port", "unixsocket", "unixsocketperm", "requirepass"):
            raise ValueError(f"server option {name!r} is init()'s own: start a server yourself, and give its address")
        checked[name] = value
    return checked
