"""A TCP proxy that disturbs connections on purpose."""

import itertools
import socket
import struct
import threading
import time

STALL_SECONDS = 0.2


class Proxy:
    """
    piece    forwards at most this many bytes at a time, each piece alone
    stalls   pauses this many times, 0.2 s each, before a piece is forwarded
    cut      resets both sides once this many bytes of replies were forwarded
    """

    def __init__(self, port, piece=65536, stalls=0, cut=None):
        self.target, self.piece, self.stalls, self.cut = port, piece, itertools.count(stalls, -1), cut
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.hung_up = 0  # clients whose disconnect was passed on to the server
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for side in client, server:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.pump, args=(client, server, None, self.client_hung_up), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, self.cut), daemon=True).start()

    def client_hung_up(self):
        with self.lock:
            self.hung_up += 1

    def pump(self, source, target, cut, ended=lambda: None):
        forwarded = 0
        try:
            while data := source.recv(self.piece):
                if next(self.stalls) > 0:
                    time.sleep(STALL_SECONDS)  # the fault itself
                target.sendall(data)
                forwarded += len(data)
                if cut is not None and forwarded >= cut:
                    reset(target)
                    reset(source)
                    return
            target.shutdown(socket.SHUT_WR)
            ended()
        except OSError:
            reset(target)
            reset(source)


def reset(side):
    """Closes by RST. The other thread may be blocked in recv(), which keeps the connection: shutdown() wakes it."""
    try:
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    side.close()
