# The tests' own instruments, tested without any program of ours: a client that misreads would prove nothing.

import cbor2

from harness import tapwire
from harness.resp import Error, Map, Simple
from harness.servers import info


def test_the_client_reads_what_a_real_server_sends(redis):
    server = redis()
    with server.client(receive_bytes=7) as client:
        assert client.call("SET", "key", b"\r\n\x00\xff" * 3) == Simple(b"OK")
        assert client.call("GET", "key") == b"\r\n\x00\xff" * 3
        assert client.call("GET", "none") is None
        assert client.call("RPUSH", "list", "a", "b", "c") == 3
        assert client.call("LRANGE", "list", 0, -1) == [b"a", b"b", b"c"]
        assert isinstance(client.call("INCR", "list"), Error)
        assert isinstance(client.call("HELLO", 3), Map)
        client.call("HSET", "hash", "field", "value")
        assert client.call("HGETALL", "hash") == [(b"field", b"value")]
        assert int(info(client, "commandstats")["cmdstat_get"].split(",")[0].removeprefix("calls=")) == 2
    with server.client(host="::1") as client:
        assert client.call("ECHO", "six") == b"six"
        assert client.address.startswith("[::1]:")


def test_the_reader_of_tapwire_keeps_frames_apart(tmp_path):
    path = tmp_path / "two.tap"
    path.write_bytes(b"".join(cbor2.dumps(cbor2.dumps(frame)) for frame in ([0, 1, "x"], [8, True, {}])))
    assert list(tapwire.frames(path)) == [[0, 1, "x"], [8, True, {}]]
