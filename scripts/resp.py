"""RESP requests, for tests and scripts that write to a socket themselves."""


def pack(*words):
    """Returns a command as RESP bytes. A word that is not bytes is sent as its text."""
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)
