# TapWire as others see it: real streams against the grammar, malformed ones against every stage.

import contextlib
import json
import os
import pty
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import cbor2
import pycddl
import pytest

from harness.cddl import Grammar
from harness.pipeline import HTTP, JSON, MERGE, PRETTY, RESP, ROOT, Pipeline, run

COUNT = [sys.executable, f"{ROOT}/examples/count.py"]
STAGES = {"tap-resp": RESP, "tap-http": HTTP, "tap-merge": MERGE, "tap-fmt": PRETTY, "tap-fmt --json": JSON, "count.py": COUNT}
OURS = {name: command for name, command in STAGES.items() if command is not COUNT}
MEMORY_LIMIT_BYTES = 64 << 20


def encode(*frame):
    return cbor2.dumps(cbor2.dumps(list(frame)))


HELLO_FIELDS = [0, 1, "test 1.0", 1_700_000_000_000_000_000, "host", "file"]
HELLO = encode(*HELLO_FIELDS)
END = encode(8, True, {})


def stream():
    """A short stream with every kind of frame and a kind that nobody knows, Redis not yet decoded and already decoded."""
    about = {"transport": "tcp", "local": ["127.0.0.1", 50000], "remote": ["127.0.0.1", 6379], "role": "client"}
    command = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\x00\xff\r\n\r\n"
    return b"".join(
        [
            HELLO,
            encode(1, 1, {"pid": 7, "comm": "redis-cli", "exe": "/usr/bin/redis-cli", "later": {"x": 1}}),
            encode(2, 1, 1, about),
            encode(2, 2, None, {**about, "local": "", "remote": b"/run/\xff.sock", "transport": "unix"}),
            encode(99, "of tomorrow", [1]),
            encode(3, 1, 0, 1_000, 0, command[:10]),
            encode(3, 1, 0, 2_000, 10, command[10:]),
            encode(3, 1, 1, 100_000, 0, b"+OK\r\n"),
            encode(3, 2, 0, 3_000, 0, b"\x16\x03\x01 no protocol of ours"),
            encode(4, 2, 1, 4_000, 0, 70, "ring_full"),
            encode(6, 2, 5_000, 9_000, "gopher", {"selector": "/"}, {"menu": [1, {"a": None}]}, [], None),
            encode(7, "tap-capture", "info", 6_000, "a notice", {"things": 3}),
            encode(9, 2, {"database": 0}),
            encode(5, 1, 200_000, "closed"),
            encode(10, 1),
            encode(5, 2, 200_000, "closed"),
            END,
        ]
    )


class Fed:
    """What a stage made of an input, with no more anonymous memory than it may have."""

    def __init__(self, directory, command, data, timeout=60):
        source = directory / "input"
        source.write_bytes(data)
        # Python itself takes more than that for its modules.
        limit = MEMORY_LIMIT_BYTES if command is not COUNT else resource.RLIM_INFINITY
        with open(source, "rb") as stdin:
            done = subprocess.run(
                command, stdin=stdin, capture_output=True, timeout=timeout,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            )  # fmt: skip
        self.status, self.output, self.messages = done.returncode, done.stdout, done.stderr.decode()

    @property
    def offset(self):
        """The byte offset in the message; there must be one."""
        found = re.search(r"malformed TapWire at byte (\d+): expected .+, found .+", self.messages)
        assert found, self.messages[:1000]
        return int(found.group(1))


# MARK: The grammar


def frames_of(data):
    """The contents of the frames of a stream."""
    position = 0
    while position < len(data):
        info = data[position] & 31
        width = 0 if info < 24 else 1 << (info - 24)
        length = int.from_bytes(data[position + 1 : position + 1 + width], "big") if width else info
        position += 1 + width
        yield data[position : position + length]
        position += length


def check(data):
    grammar = Grammar()
    kinds = set()
    for frame in frames_of(data):
        grammar.check(frame)
        kinds.add(cbor2.loads(frame)[0])
    return kinds


@pytest.mark.live
def test_real_streams_keep_to_the_grammar(redis, capture, tmp_path):
    server = redis()
    live = capture(["--port", server.port])
    with server.client() as client:
        client.call("SET", "k", b"\xff\x00")
        client.call("HELLO", 3)
        client.call("HSET", "h", "f", "1")
        client.call("HGETALL", "h")
        client.call("EVAL", "return {1, 'a', {ok='fine'}, {err='no'}, false, {double=1.5}}", 0)
    live.stop()
    captured = open(live.output, "rb").read()
    assert check(captured) >= {0, 1, 2, 3, 5, 8}
    decoded = run([RESP, HTTP], tmp_path / "decoded", stdin=live.output)
    assert check(decoded) >= {0, 1, 2, 5, 6, 8}


@pytest.mark.parametrize("stage", ["tap-resp", "tap-http"])
def test_what_a_stage_adds_to_a_cut_stream_keeps_to_the_grammar(stage, tmp_path):
    fed = Fed(tmp_path, STAGES[stage], stream()[: -len(END)])
    assert fed.status == 0
    check(fed.output)
    notice, end = [cbor2.loads(frame) for frame in frames_of(fed.output)][-2:]
    assert notice[:3] == [7, stage, "warning"] and end == [8, False, {}]


def test_a_cut_stream_is_reported_once(tmp_path):
    source = tmp_path / "cut.tap"
    source.write_bytes(stream()[: -len(END)])
    pipeline = Pipeline(tmp_path / "pipeline", [RESP, HTTP, PRETTY], stdin=open(source, "rb"))
    assert pipeline.wait() == [0, 0, 0]
    warnings = [line for line in pipeline.all_errors().splitlines() if "warning" in line and "gaps" not in line]
    assert warnings == ["tap-fmt: tap-resp: warning: the stream stopped without an end frame"]


def test_the_grammar_refuses_what_is_wrong():
    grammar = Grammar()
    for frame in frames_of(stream()):
        grammar.check(frame)
    for wrong in (
        [0, 2, "x", 0, "h", "file"], [0, 1, "x", 0, "h", "tape"], [1, 1, {"pid": "7"}], [2, 1, None, {"local": ["::1", 1 << 16]}],
        [3, 1, 2, 0, 0, b""], [3, 1, 0, 0, 0, "text"], [4, 1, 0, 0, 0, 1], [5, 1, "now", "closed"],
        [6, 1, 0, None, "redis", {1: 2}, None, []], [6, 1, 0, None, "redis", {"a": cbor2.CBORTag(7777, 1)}, None, []],
        [7, "s", "fatal", 0, "t", {}], [8, 1, {}], [9, 1, None], [10, "1"],
    ):  # fmt: skip
        with pytest.raises((pycddl.ValidationError, AssertionError)):
            grammar.check(cbor2.dumps(wrong))


# MARK: Programs of others


def test_a_stage_in_python_between_two_of_ours_changes_nothing(tmp_path):
    source = tmp_path / "stream.tap"
    source.write_bytes(stream())
    for command in (JSON, PRETTY):
        direct = run([RESP, HTTP, command], tmp_path / "direct", stdin=source)
        assert direct.count(b"\n") == 2
        assert run([RESP, COUNT, HTTP, COUNT, command], tmp_path / "with", stdin=source) == direct
    counted = Fed(tmp_path, COUNT, stream())
    assert counted.output == stream()
    assert "1 hello, 1 process, 2 flow, 1 of kind 99, 59 bytes of data, 4 data, 70 bytes in gaps, 1 gap" in counted.messages


def test_another_writers_encoding_is_understood(tmp_path):
    """Indefinite lengths, long heads and chunked strings: well-formed CBOR that we never write."""
    request = b"\xbf\x67command\x7f\x61G\x62ET\xff\x64args\x9f\x61k\xff\xff"
    exchange = b"\x9f\x18\x06\x19\x00\x01\x1a\x00\x00\x03\xe8\xf6\x65redis" + request + b"\xf6\x80\xff"
    chunked = b"\x5f" + b"".join(cbor2.dumps(exchange[i : i + 7]) for i in range(0, len(exchange), 7)) + b"\xff"
    for frame in (cbor2.dumps(exchange), chunked, b"\x5b" + len(exchange).to_bytes(8, "big") + exchange):
        fed = Fed(tmp_path, JSON, HELLO + frame + END)
        assert (fed.status, fed.messages) == (0, "")
        assert b'"command":"GET","args":["k"],' in fed.output


# MARK: Malformed input


def deep(levels):
    return b"\x81" * levels + b"\x00"


def exchange_with(value):
    """An exchange frame whose request has the encoded `value`."""
    content = cbor2.dumps([6, 1, 1_000, None, "redis"])[1:] + b"\xa1\x61v" + value + b"\xf6\x80"
    return cbor2.dumps(b"\x88" + content)


MALFORMED = {
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a frame without its byte string": cbor2.dumps([8, True, {}]),
    "a reserved head": b"\x5c",
    "a length of 2^64-1": b"\x5b" + b"\xff" * 8,
    "a length just too large": b"\x5a\x01\x00\x00\x01" + bytes(100),
    "an empty frame": b"\x40",
    "an empty array": b"\x41\x80",
    "no array": cbor2.dumps(cbor2.dumps({"kind": 3})),
    "a kind that is no number": encode("data", 1),
    "an array longer than its frame": b"\x49\x9b" + b"\xff" * 8,
    "an array cut short": b"\x43\x86\x03\x01",
    "a break": b"\x41\xff",
    "a chunk of another type": b"\x5f\x61a\xff",
    "a chunk of 2^32 bytes": b"\x5f\x5b\x00\x00\x00\x01" + bytes(4),
}

FORMATTERS = {"tap-fmt", "tap-fmt --json"}
READERS = FORMATTERS | {"tap-resp", "tap-merge"}

# What only a reader of that kind notices; the others forward such frames.
MALFORMED_FIELDS = {
    "another version": (set(OURS), encode(0, 2, "test", 0, "host", "file")),
    "no fields": (set(OURS), encode(0)),
    "an end without totals": (set(OURS), encode(8)),
    "data without an offset": (READERS, encode(3, 1, 0, 1_000)),
    "data in a third direction": (READERS, encode(3, 1, 2, 1_000, 0, b"x")),
    "data beyond 2^64": (READERS, encode(3, 1, 0, 1_000, (1 << 64) - 1, b"xx")),
    "a flow without a description": (READERS, encode(2, 1, None)),
    "a port of 65536": (READERS, encode(2, 1, None, {"local": ["::1", 65536]})),
    "bytes behind the array": (READERS, cbor2.dumps(cbor2.dumps([3, 1, 0, 1_000, 0, b"x"]) + b"\xff")),
    "fewer fields than announced": (READERS, cbor2.dumps(b"\x87" + cbor2.dumps([3, 1, 0, 1_000, 0, b"x"])[1:])),
    "a hello with fewer fields than announced": (set(OURS), cbor2.dumps(b"\x89" + cbor2.dumps(HELLO_FIELDS)[1:])),
    "a later field of too many levels": (READERS, cbor2.dumps(b"\x85" + cbor2.dumps([5, 1, 2, "closed"])[1:] + deep(600))),
    # What nobody reads is forwarded as it is.
    "an unknown kind with anything in it": (set(), cbor2.dumps(b"\x82\x18\x63" + deep(600) + b"\xff")),
    "an exchange without maps": (READERS - {"tap-resp"}, encode(6, 1, 1, 2, "redis", "GET", "OK", [])),
    "an end before its start": (READERS - {"tap-resp"}, encode(6, 1, 2, 1, "redis", {}, {}, [])),
    "nesting without end": (READERS - {"tap-resp"}, exchange_with(deep(600))),
    "a million levels": (READERS - {"tap-resp"}, exchange_with(deep(1_000_000))),
    "a map of 2^63 pairs": (READERS - {"tap-resp"}, exchange_with(b"\xbb\x7f" + b"\xff" * 7)),
    "a string longer than its frame": (READERS - {"tap-resp"}, exchange_with(b"\x7b" + b"\xff" * 8)),
    "a million counters": (FORMATTERS, encode(7, "s", "info", 0, "t", {str(n): n for n in range(10**6)})),
}


def assert_refused(fed, start, end):
    assert fed.status == 65, (fed.status, fed.messages[:1000])
    assert start <= fed.offset <= end
    assert fed.messages.count("\n") <= 4


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("stage", STAGES)
def test_malformed_frames_end_every_stage(stage, name, tmp_path):
    good = stream()[: -len(END)]
    fed = Fed(tmp_path, STAGES[stage], good + MALFORMED[name])
    assert_refused(fed, len(good), len(good) + len(MALFORMED[name]))
    # What came before is worked off.
    before = Fed(tmp_path, STAGES[stage], good).output
    kept = before if stage in FORMATTERS else before[: before.index(encode(5, 2, 200_000, "closed"))]
    assert len(kept) > 0 and fed.output.startswith(kept)


@pytest.mark.parametrize("name", MALFORMED_FIELDS)
def test_malformed_fields_end_the_stages_that_read_them(name, tmp_path):
    stages, frame = MALFORMED_FIELDS[name]
    for stage in OURS:
        fed = Fed(tmp_path, STAGES[stage], HELLO + frame)
        if stage in stages:
            assert_refused(fed, len(HELLO), len(HELLO) + len(frame))
        else:
            assert fed.status == 0, (stage, fed.messages[:1000])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stream_cut_at_every_byte(stage, tmp_path):
    data = HELLO + stream()[len(HELLO) : len(HELLO) + 60] if stage == "count.py" else stream()
    borders = {0}
    for frame in frames_of(data):
        borders.add(max(borders) + len(cbor2.dumps(frame)))
    step = 17 if stage == "count.py" else 5
    for length in range(0, len(data), step):
        fed = Fed(tmp_path, STAGES[stage], data[:length])
        if length in borders:
            assert fed.status == 0
        else:
            assert_refused(fed, max(border for border in borders if border < length), length)


@pytest.mark.parametrize("stage", OURS)
def test_random_bytes(stage, tmp_path):
    seed = 8742
    generator = random.Random(seed)
    for _ in range(60):
        data = generator.randbytes(generator.randrange(1, 5000))
        fed = Fed(tmp_path, STAGES[stage], data)
        assert fed.status == 65 and fed.offset <= len(data), seed
    # Damage inside good frames, where lengths and types are nearly right.
    good = stream()
    for _ in range(150):
        data = bytearray(good)
        for _ in range(generator.randrange(1, 6)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        fed = Fed(tmp_path, STAGES[stage], bytes(data))
        assert fed.status in (0, 65), (seed, fed.status, fed.messages, bytes(data))
        if fed.status == 65:
            assert fed.offset <= len(data)


def chunked(frame):
    content = cbor2.loads(frame)
    return b"\x5f" + b"".join(cbor2.dumps(content[i : i + 65_000]) for i in range(0, len(content), 65_000)) + b"\xff"


def described(count):
    """Descriptions of 60 KB each, of processes with an open flow."""
    about = {"transport": "tcp", "local": ["127.0.0.1", 1], "remote": ["127.0.0.1", 2], "role": "client"}
    process = {"pid": 1, "comm": "x", "command_line": ["y" * 60_000]}
    return b"".join(encode(1, id, process) + encode(2, id, id, about) for id in range(1, count))


# An exchange of 16 MiB in all, and the same with lengths that only its end tells.
LARGE = exchange_with(cbor2.dumps("z" * 16_700_000))
LARGE_INDEFINITE = exchange_with(b"\xbf\x61w" + cbor2.dumps("z" * 16_700_000) + b"\xff")

HEAVY = {
    "descriptions, and large frames of every form": described(420) + LARGE_INDEFINITE + LARGE + chunked(LARGE_INDEFINITE),
    "a frame of 16 MiB": exchange_with(cbor2.dumps(bytes(range(256)) * 65_000)),
    "control characters only": exchange_with(cbor2.dumps("\x01" * 16_000_000)),
    "three million keys": exchange_with(cbor2.dumps({f"{n:x}": 0 for n in range(2_000_000)})),
    "the same key eight million times": exchange_with(b"\xba\x00\x7a\x12\x00" + b"\x60\x00" * 8_000_000),
    "sixteen million elements": exchange_with(b"\x9a\x00\xf4\x24\x00" + bytes(16_000_000)),
    "maps in maps": exchange_with(b"\xa1\x61k" * 509 + cbor2.dumps({str(n): {"a": 1} for n in range(1_000_000)})),
    "numbers of two thousand bytes": exchange_with(b"\x99\x1f\x40" + (b"\xc2\x59\x08\x00" + b"\xff" * 2048) * 8_000),
    "a number of 16 MB": exchange_with(b"\xc3\x5a\x00\xf4\x24\x00" + b"\xff" * 16_000_000),
    "indefinite arrays in each other": exchange_with(b"\x9f" * 500 + b"\x00" * 15_000_000 + b"\xff" * 500),
    "many chunks": b"\x5f" + b"\x41\x00" * 8_000_000 + b"\xff",
    "chunks without end": b"\x5f" + b"\x42\x00\x00" * 16_000_000,
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_frames_need_bounded_memory_and_time(name, tmp_path):
    data = HELLO + HEAVY[name] + END
    for stage in OURS:
        started = time.monotonic()
        fed = Fed(tmp_path, STAGES[stage], data)
        assert fed.status in (0, 65), (stage, fed.status, fed.messages[:1000])
        assert time.monotonic() - started < 10, stage


def test_descriptions_need_bounded_memory(tmp_path):
    data = HELLO + described(2000) + encode(1, 5000, {"pid": 1, "cgroup": "z" * 16_000_000})
    data += b"".join(encode(2, id, id, {"role": "client"}) for id in range(10_000, 300_000)) + END
    for command in (JSON, PRETTY):
        fed = Fed(tmp_path, command, data)
        assert fed.status == 0, fed.messages[:1000]


# MARK: A stage among others


def exchange(selector):
    return encode(6, 1, 1_000, None, "gopher", {"selector": selector}, None, [])


@contextlib.contextmanager
def running(stage, stdin=subprocess.PIPE, **options):
    """A stage that runs, and is ended and cleaned up behind the test."""
    process = subprocess.Popen(
        STAGES[stage], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for file in (process.stdin, process.stdout, process.stderr):
            if file:
                file.close()


def wait_until_it_works(process, write):
    """The stage has its signals set when it shows a first exchange."""
    write(HELLO + exchange("first"))
    seen = b""
    while b"first" not in seen.removeprefix(HELLO):
        part = os.read(process.stdout.fileno(), 1 << 16)
        assert part, "it ended"
        seen += part


def write_to(process):
    def write(data):
        process.stdin.write(data)
        process.stdin.flush()

    return write


@pytest.mark.parametrize("stage", STAGES)
def test_exchanges_are_shown_when_they_happen(stage):
    """What is ready goes out before a stage waits for more."""
    with running(stage) as process:
        started = time.monotonic()
        wait_until_it_works(process, write_to(process))
        assert time.monotonic() - started < 10
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_closed_pipe_is_success(stage):
    with running(stage) as process:
        process.stdout.close()
        try:
            process.stdin.write(HELLO + exchange("/") * 100_000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(10) == 0
        said = process.stderr.read().decode()
        assert "Traceback" not in said and "malformed" not in said and "Broken" not in said


@pytest.mark.parametrize("stage", OURS)
def test_an_output_that_takes_nothing_is_an_error(stage, tmp_path):
    source = tmp_path / "input"
    source.write_bytes(stream())
    with open(source, "rb") as stdin, open("/dev/full", "wb") as full:
        done = subprocess.run(STAGES[stage], stdin=stdin, stdout=full, stderr=subprocess.PIPE, text=True, timeout=10)
    program = STAGES[stage][0].rsplit("/", 1)[1]
    assert done.returncode == 74
    assert done.stderr.splitlines()[-1] == f"{program}: writing to stdout failed: No space left on device"


@pytest.mark.parametrize("stage", STAGES)
def test_the_first_interrupt_of_a_stage_behind_a_pipe_is_the_captures(stage):
    with running(stage) as process:
        wait_until_it_works(process, write_to(process))
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.stdin.write(exchange("later") + END)
        process.stdin.close()
        assert b"later" in process.stdout.read()
        assert process.wait(10) == 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_socket_is_a_pipe(stage):
    """As ssh and inetd give one; the second interrupt ends it there too."""
    ours, theirs = socket.socketpair()
    with ours, theirs, running(stage, stdin=theirs) as process:
        theirs.close()
        wait_until_it_works(process, ours.sendall)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


@pytest.mark.parametrize("stage", STAGES)
def test_the_second_interrupt_ends_a_stage(stage):
    with running(stage) as process:
        wait_until_it_works(process, write_to(process))
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_that_was_ignored_stays_ignored(stage):
    """A script's `pipeline &` is not ended by the Ctrl-C for another command."""
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    with running(stage, preexec_fn=ignore) as process:
        wait_until_it_works(process, write_to(process))
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        process.stdin.write(exchange("later") + END)
        process.stdin.close()
        assert b"later" in process.stdout.read()
        assert process.wait(10) == 0


# MARK: For people


@pytest.mark.parametrize(
    "arguments, environment, is_colored",
    [
        ([], {}, True),
        ([], {"NO_COLOR": ""}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {}, False),
        (["--json", "--color", "always"], {}, False),
    ],
    ids=str,
)
def test_color_on_a_terminal(arguments, environment, is_colored, tmp_path):
    source = tmp_path / "input"
    source.write_bytes(stream())
    ours, theirs = pty.openpty()
    with open(source, "rb") as stdin:
        process = subprocess.Popen(
            [*PRETTY, *arguments], stdin=stdin, stdout=theirs, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", **environment},
        )  # fmt: skip
    os.close(theirs)
    shown = b""
    # A terminal whose other end is closed is an input error.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    assert process.wait(10) == 0
    assert b"gopher" in shown or "■".encode() in shown
    assert (b"\x1b[" in shown) == is_colored


def test_no_color_where_there_is_no_terminal(tmp_path):
    source = tmp_path / "input"
    source.write_bytes(stream())
    assert b"\x1b[" not in run([PRETTY], tmp_path / "plain", stdin=source)
    assert b"\x1b[" in run([[*PRETTY, "--color", "always"]], tmp_path / "colored", stdin=source)


def test_no_name_of_the_line_stands_twice(tmp_path):
    """Whichever name of docs/json.md's table a decoder uses for a member: all are nested then."""
    with open(f"{ROOT}/docs/json.md") as file:
        table = re.search(r"^## Members\n(.*?)\n\n", file.read(), re.S | re.M).group(1)
    rows = [line.split("|") for line in table.splitlines()[2:]]
    names = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])}
    names |= {"local_name", "remote_name", "request", "response", "annotations"}
    assert len(names) >= 25
    about = {
        "transport": "unix", "local": b"/a", "remote": "", "role": "server", "peer_pid": 9, "local_name": "x",
        "peer_process": 1,
    }  # fmt: skip
    frames = [encode(1, 1, {"pid": 7}), encode(2, 1, 1, about), encode(2, 2, 1, {**about, "role": "unknown"})]
    frames += [encode(9, id, {"database": 0}) for id in (1, 2)]
    server = {"flow": 2, "start": 1, "end": 2, "first_byte": 2}
    for name in names:
        for flow in (1, 2):
            frames.append(encode(6, flow, 1_000, 2_000, "p", {"a": 1, name: 5}, None, ["f"], None, None, None, server))
    fed = Fed(tmp_path, JSON, HELLO + b"".join(frames) + END)
    lines = fed.output.decode().splitlines()
    assert len(lines) == 2 * len(names)

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    for line in lines:
        assert len(json.loads(line, object_pairs_hook=unique)["request"]) == 2
