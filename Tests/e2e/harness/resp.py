# A raw RESP client: it shows the bytes that moved, which a library's client would hide.

import socket


class Simple(bytes):
    """A simple string."""


class Error(bytes):
    """An error reply, its text."""


class Double(bytes):
    """A RESP3 double, its text."""


class BigNumber(bytes):
    """A RESP3 big number, its text."""


class Verbatim(bytes):
    """A RESP3 verbatim string without its format prefix."""


class Map(list):
    """A RESP3 map as (key, value) pairs."""


class Set(list):
    """A RESP3 set."""


class Push(list):
    """A RESP3 push."""


def command(*arguments):
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        if not isinstance(argument, bytes):
            argument = str(argument).encode()
        parts += [b"$%d\r\n" % len(argument), argument, b"\r\n"]
    return b"".join(parts)


class Client:
    """A connection that sends bytes as they are and reads whole replies."""

    def __init__(self, port, host="127.0.0.1", receive_bytes=1 << 16):
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.socket.getsockname()[1]
        self.sent_bytes = 0
        self.received_bytes = 0
        self._receive_bytes = receive_bytes
        self._buffer = bytearray()
        self._position = 0

    @property
    def consumed_bytes(self):
        """Length of the replies that were read."""
        return self.received_bytes - (len(self._buffer) - self._position)

    @property
    def address(self):
        """As the JSON output shows this client."""
        host = self.socket.getsockname()[0]
        return f"[{host}]:{self.local_port}" if ":" in host else f"{host}:{self.local_port}"

    def send(self, data):
        self.socket.sendall(data)
        self.sent_bytes += len(data)

    def call(self, *arguments):
        self.send(command(*arguments))
        return self.read()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self):
        """The next value, whatever its type."""
        line = self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Simple(rest)
        if kind == b"-":
            return Error(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return Double(rest)
        if kind == b"(":
            return BigNumber(rest)
        if kind == b"!":
            return Error(self._bulk(int(rest)))
        if kind == b"=":
            return Verbatim(self._bulk(int(rest))[4:])
        if kind == b"%":
            return Map([(self.read(), self.read()) for _ in range(int(rest))])
        if kind == b"~":
            return Set([self.read() for _ in range(int(rest))])
        if kind == b">":
            return Push([self.read() for _ in range(int(rest))])
        raise AssertionError(f"not RESP: {line[:80]!r}")

    def _fill(self):
        if self._position > 1 << 20:
            del self._buffer[: self._position]
            self._position = 0
        received = self.socket.recv(self._receive_bytes)
        if not received:
            raise ConnectionError("the server closed the connection")
        self.received_bytes += len(received)
        self._buffer += received

    def read_line(self):
        """Up to the next CRLF."""
        scanned = self._position
        while (end := self._buffer.find(b"\r\n", scanned)) < 0:
            scanned = max(self._position, len(self._buffer) - 1)
            before = self._position
            self._fill()
            scanned -= before - self._position
        line = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return line

    def _bulk(self, length):
        return self.read_bytes(length + 2)[:-2]

    def read_bytes(self, length):
        while len(self._buffer) - self._position < length:
            self._fill()
        value = bytes(self._buffer[self._position : self._position + length])
        self._position += length
        return value

    def read_to(self, mark):
        """The bytes before the mark, which is read too."""
        while (end := self._buffer.find(mark, self._position)) < 0:
            self._fill()
        return self.read_bytes(end + len(mark) - self._position)[: -len(mark)]
