"""The demo's own sluice-server: a free port, a Unix socket and a folder that are removed with it."""

import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import redis


class ServerFailed(Exception):
    """The server did not start, died early, or did not stop cleanly."""


class Server:
    """Use as `with Server(binary) as server`: it answers PING inside, and has stopped afterwards in any case."""

    def __init__(self, binary):
        self.binary = binary
        self.folder = self.process = None

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-demo-"))
        self.port = free_port()
        self.path = str(self.folder / "sluice.sock")
        command = [self.binary, "--port", str(self.port), "--unixsocket", self.path, "--unixsocketperm", "700"]
        if shutil.which("setpriv"):  # so that it ends even if the demo is killed
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        # Its own session: Ctrl-C reaches only the demo, which stops the server.
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_for_pong(deadline=time.monotonic() + 10)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, error, trace):
        died = self.process.poll()
        log = self.log()
        status = self._end()
        if died is not None:
            raise ServerFailed(f"the server ended unexpectedly with status {died}; the end of its log:\n{log}") from error
        if status != 0 and kind is None:
            raise ServerFailed(f"the server ended with status {status} on SIGTERM; the end of its log:\n{log}")

    def client(self):
        return redis.Redis(unix_socket_path=self.path)

    def connections(self):
        """Returns redis-py's arguments for each kind of connection that workers use in turn."""
        unix, tcp = {"unix_socket_path": self.path}, {"host": "127.0.0.1", "port": self.port}
        return [unix | {"protocol": 2}, tcp | {"protocol": 3}]

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def _wait_for_pong(self, deadline):
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError as error:
                if self.process.poll() is not None:
                    raise ServerFailed(f"the server did not start; its log:\n{self.log()}") from error
                if time.monotonic() > deadline:
                    raise ServerFailed(f"no PONG after 10 s ({error}); the server's log:\n{self.log()}") from error
            time.sleep(0.005)

    def _end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
