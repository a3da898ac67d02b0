# The engines: which ones this kernel takes, what is said of the others, and that nothing but the way to the bytes differs.

import ctypes
import errno
import os
import platform
import socket
import subprocess

import pytest

from harness import io_uring
from harness.pipeline import tool
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

KERNEL = tuple(int(number) for number in platform.release().split(".")[:2])


def try_engine(engine, *options):
    command = [tool("tap-capture"), "--engine", engine, "--duration", "10ms", *options]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def attempt(engine):
    """Whether a forced engine works. If not, it is one clear error with what to do, and nothing on stdout."""
    result = try_engine(engine)
    said = result.stderr.decode().splitlines()
    if result.returncode == 0:
        assert any(f"ready ({engine} engine" in line for line in said), said
        return True
    assert result.returncode in (69, 77), (result.returncode, said)
    assert len(said) == 2 and said[0].startswith("tap-capture: cannot ") and said[1].startswith("  "), said
    assert result.stdout == b""
    return False


def test_auto_takes_the_best_engine_that_works():
    works = {engine: attempt(engine) for engine in ("fentry", "tracepoint")}
    assert works["tracepoint"] == (KERNEL >= (6, 3)), works
    wanted = os.environ.get("TAP_ENGINE")
    assert wanted is None or works[wanted], works
    said = try_engine("auto").stderr.decode()
    best = "fentry" if works["fentry"] else "tracepoint"
    assert f"ready ({best} engine" in said and "refused" not in said, said
    said = try_engine("auto", "--verbose").stderr.decode()
    assert f"tap-capture: using the {best} engine" in said, said
    assert ("the fentry engine is refused: " in said) == (not works["fentry"]), said


def test_an_engine_that_does_not_exist():
    result = try_engine("kprobe")
    assert result.returncode == 64 and b"'auto', 'fentry' or 'tracepoint'" in result.stderr


def receive(end, length):
    received = b""
    while len(received) < length:
        received += end.recv(length - len(received)) or b"(end of stream)"
    return received


def connected(capture):
    """A captured connection: the capture, its port, and the client's and the server's end."""
    listener, client = socket.create_server(("127.0.0.1", 0)), socket.socket()
    port = listener.getsockname()[1]
    running = capture(["--port", port])
    client.connect(("127.0.0.1", port))
    server, _ = listener.accept()
    listener.close()
    return running, port, client, server


def test_pages_that_io_uring_has_registered_are_a_gap(capture):
    """No engine knows where they are in memory; what comes before and behind them is there."""
    running, port, client, server = connected(capture)
    local = client.getsockname()[1]
    with client, server:
        client.sendall(b"before")
        ring = io_uring.Ring()
        ring.submit_registered_send(client, ctypes.create_string_buffer(b"registered", 10))
        assert ring.wait() == 10
        ring.wait()
        ring.close()
        client.sendall(b"behind")
        assert receive(server, 22) == b"beforeregisteredbehind"
    running.stop()
    recording = Recording(running.output)
    assert recording.flow(local, port).runs[SENT] == [b"before", Missing(10, "io_uring"), b"behind"]
    assert recording.flow(port, local).bytes(RECEIVED) == b"beforeregisteredbehind"


def may_use_mptcp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP).close()
    except OSError as error:
        assert error.errno in (errno.EPROTONOSUPPORT, errno.ENOPROTOOPT), error
        return False
    return True


if may_use_mptcp():

    def test_multipath_tcp_is_seen_once(capture):
        """The connection is a flow; the TCP connections that carry it are not."""
        listener, client = (socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) for _ in "12")
        content = os.urandom(100_000)
        with listener, client:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            running = capture(["--port", port])
            client.connect(("127.0.0.1", port))
            local = client.getsockname()[1]
            server, _ = listener.accept()
            with server:
                for start in range(0, len(content), 10_007):
                    client.sendall(content[start : start + 10_007])
                    assert receive(server, len(content[start : start + 10_007])) == content[start : start + 10_007]
                server.sendall(content[:50_000])
            assert receive(client, 50_000) == content[:50_000]
        running.stop()
        recording = Recording(running.output)
        at_client, at_server = recording.flow(local, port), recording.flow(port, local)
        assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == content
        assert at_client.bytes(RECEIVED) == at_server.bytes(SENT) == content[:50_000]
