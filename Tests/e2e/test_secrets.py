# Passwords: what tap-capture tells of command lines and what leaves tap-resp holds none of them.

import socket
import subprocess

import pytest

from harness import tapwire
from harness.exchanges import exchanges
from harness.pipeline import JSON, PRETTY, RESP, run
from harness.resp import Error, command

pytestmark = pytest.mark.live

SECRET = "s3cr3t-Pa55word"


def test_passwords_do_not_leave(redis, capture, tmp_path):
    server = redis("--requirepass", SECRET)
    raw = tmp_path / "raw.tap"
    decoded = tmp_path / "decoded.tap"
    running = capture(["--port", server.port], [["tee", str(raw)], RESP, ["tee", str(decoded)], JSON])
    port = str(server.port)
    for options in (["-a", SECRET], ["--pass", SECRET], ["-u", f"redis://default:{SECRET}@127.0.0.1:{port}"]):
        words = ["redis-cli", "-p", port, "--no-auth-warning", *options, "PING"]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=10)
    subprocess.run(["redis-cli", "-p", port, "AUTH", SECRET], stdout=subprocess.DEVNULL, check=True, timeout=10)

    with server.client() as client:
        assert isinstance(client.call("AUTH", "wrong" + SECRET), Error)
        assert isinstance(client.call("aUtH", "nobody", SECRET), Error)
        assert client.call("AUTH", SECRET) == b"OK"
        client.call("HELLO", 3, "AUTH", "default", SECRET, "SETNAME", "tester")
        client.call("hello", 2, "setname", "tester", "auth", "default", SECRET)
        client.call("CONFIG", "SET", "requirepass", SECRET)
        client.call("CONFIG", "SET", "maxmemory", "0", "masterauth", SECRET)
        client.call("ACL", "SETUSER", "alice", "on", ">" + SECRET)
        client.call("MIGRATE", "127.0.0.1", "1", "none", "0", "10", "AUTH", SECRET)
        client.call("MIGRATE", "127.0.0.1", "1", "none", "0", "10", "AUTH2", "alice", SECRET)
        assert client.call("SET", "after", "all") == b"OK"
    with server.client() as client:
        # An inline command, and one that arrives byte by byte.
        client.send(f"AUTH {SECRET}\r\n".encode())
        assert client.read() == b"OK"
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in command("AUTH", "default", SECRET):
            client.send(bytes([byte]))
        assert client.read() == b"OK"
    running.stop()

    secret = SECRET.encode()
    described = [frame for frame in tapwire.frames(raw) if frame[0] != tapwire.DATA]
    assert secret not in repr(described).encode()
    # The commands themselves are shown: it is not by silence that nothing leaks.
    names = [exchange["command"].upper() for exchange in exchanges(running.output, "ingress")]
    assert names.count("AUTH") == 9 and names.count("HELLO") == 2 and names[-1] == "AUTH"
    assert secret not in decoded.read_bytes()
    with open(running.output, "rb") as output:
        assert secret not in output.read()
    assert secret not in run([PRETTY], tmp_path / "pretty", stdin=decoded)
