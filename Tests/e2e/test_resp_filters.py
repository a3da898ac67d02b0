# What tap-resp shows with filters: just what the unfiltered output has of it, of real connections, with and without losses;
# and globs that match what a real redis-server's KEYS matches.

import collections
import json
import random
import subprocess
import time

import cbor2
import pytest

from harness import tapwire
from harness.pipeline import JSON, RESP, run
from harness.resp import Error, command
from harness.tapwire import CLOSE, DATA, END, EXCHANGE, FLOW, GAP, HELLO, HIDDEN, SENT


def frame(*fields):
    return cbor2.dumps(cbor2.dumps(list(fields)))


def decoded(recording, directory, *options):
    """The JSON lines of a recording, and how many gaps came through."""
    directory.mkdir()
    tap = directory / "decoded.tap"
    with open(recording, "rb") as stdin, open(tap, "wb") as stdout:
        subprocess.run([*RESP, *options], stdin=stdin, stdout=stdout, check=True, timeout=60)
    lines = [json.loads(line) for line in run([JSON], directory / "json", stdin=tap).splitlines()]
    return lines, sum(frame[0] == GAP for frame in tapwire.frames(tap))


def placed(tap):
    """Each exchange by its flow and which of the flow's exchanges it is, those counted that are hidden."""
    found, count = {}, collections.Counter()
    for kind, flow, *fields in tapwire.frames(tap):
        if kind == HIDDEN:
            count[flow] += fields[0]
        elif kind == EXCHANGE:
            found[flow, count[flow]] = fields
            count[flow] += 1
    return found


def workload(server):
    with server.client() as client, server.client() as other:
        for number in range(50):
            client.call("SET", f"session:{number}", "x" * number)
            client.call("GET", f"user:{number % 7}")
            other.send(b"".join(command("HSET", f"h:{number}", "f", n) for n in range(20)) + command("LPUSH", "h:0", "x"))
            replies = [other.read() for _ in range(21)]
            assert isinstance(replies[-1], Error)
        client.call("SELECT", 3)
        client.call("MSET", "a", "1", "session:a", "2")
        client.call("MULTI")
        client.call("INCR", "n")
        client.call("LPUSH", "a", "x")
        client.call("EXEC")
        client.call("CONFIG", "SET", "maxmemory", "0")
        client.call("config", "get", "maxmemory")
        client.call("NOSUCH", "thing")
        client.call("BLPOP", "nothing", "0.2")
        client.call("DEBUG", "SLEEP", "0.15")
        client.call("EVAL", "return redis.call('get', KEYS[1])", "1", "a")
        other.call("SUBSCRIBE", "news")
        client.call("PUBLISH", "news", "hello")
        other.read()


def is_error(line):
    return line.get("response_type") == "error"


def has_key(line, prefix):
    return any(key.startswith(prefix) for key in line.get("keys", []))


def is_slow(line):
    waits = {"blocking", "queued"} & set(line.get("flags", []))
    return (line["latency_ns"] or 0) > 100_000_000 and "command" in line and not waits


FILTERS = {
    "--command set": lambda line: line.get("command") == "SET",
    "--command get --command INCR": lambda line: line.get("command") in ("GET", "INCR"),
    "--not-command HSET": lambda line: line.get("command") != "HSET",
    "--key session:*": lambda line: has_key(line, "session:"),
    "--key session:* --key user:*": lambda line: has_key(line, "session:") or has_key(line, "user:"),
    "--not-key h:*": lambda line: not has_key(line, "h:"),
    "--class write --key session:*": lambda line: line.get("class") == "write" and has_key(line, "session:"),
    "--class read,admin": lambda line: line.get("class") in ("read", "admin"),
    "--class scripting --class blocking": lambda line: line.get("class") in ("scripting", "blocking"),
    "--not-class write,read": lambda line: line.get("class") not in ("write", "read"),
    "--errors": is_error,
    "--errors --not-command LPUSH": lambda line: is_error(line) and line.get("command") != "LPUSH",
    "--slower-than 100ms": is_slow,
    "--db 3": lambda line: line.get("connection", {}).get("database") == 3,
    "--db 3 --db 0": lambda line: line.get("connection", {}).get("database") in (0, 3),
    "--db 0 --class write": lambda line: line.get("connection", {}).get("database") == 0 and line.get("class") == "write",
}


def check(recording, directory):
    """Each filter against the unfiltered output, which is returned. Behind a loss the database is not known."""
    everything, gaps = decoded(recording, directory / "all")
    assert len(everything) > 2000
    for number, (options, shows) in enumerate(FILTERS.items()):
        shown, shown_gaps = decoded(recording, directory / str(number), *options.split())
        expected = [line for line in everything if shows(line)]
        assert expected or gaps and "--db" in options, options
        assert shown == expected, options
        assert shown_gaps == gaps, options
        places = placed(directory / "all" / "decoded.tap")
        shown_places = placed(directory / str(number) / "decoded.tap")
        assert all(places[place] == exchange for place, exchange in shown_places.items()), options
    subcommand, _ = decoded(recording, directory / "subcommand", "--command", "Config Set")
    assert subcommand == [line for line in everything if line.get("command") == "CONFIG" and line["args"][0] == "SET"]
    assert subcommand
    return everything


def with_gaps(recording, path, seed):
    """The recording with some of its data lost, as tap-capture tells it."""
    generator = random.Random(seed)
    with open(path, "wb") as output:
        for fields in tapwire.frames(recording):
            if fields[0] == DATA and generator.random() < 0.02:
                _, flow, direction, when, offset, data = fields[:6]
                fields = [GAP, flow, direction, when, offset, len(data), "ring_full"]
            output.write(frame(*fields))


@pytest.mark.live
def test_a_filter_shows_what_the_whole_output_has_of_it(redis, capture, tmp_path):
    server = redis("--enable-debug-command", "yes")
    recording = tmp_path / "recording.tap"
    live = capture(["--port", server.port], [["tee", str(recording)], [*RESP, "--command", "GET"], JSON])
    workload(server)
    live.stop()
    (tmp_path / "whole").mkdir()
    everything = check(recording, tmp_path / "whole")
    with open(live.output, "rb") as output:
        shown = [json.loads(line) for line in output]
    assert shown == [line for line in everything if line.get("command") == "GET"]
    for seed in range(2):
        lossy = tmp_path / f"lossy{seed}.tap"
        with_gaps(recording, lossy, seed)
        (tmp_path / f"lossy{seed}").mkdir()
        assert check(lossy, tmp_path / f"lossy{seed}") != everything


def test_globs_match_as_keys_does(redis, tmp_path):
    generator = random.Random(7)
    alphabet = "abc*?[]^-\\:"

    def text(longest):
        return "".join(generator.choice(alphabet) for _ in range(generator.randint(0, longest)))

    keys = {b"", b"a", b"session:1", b"\xff\x80", "ä".encode()} | {text(6).encode() for _ in range(600)}
    client = redis().client()
    ends = {"transport": "tcp", "local": ["127.0.0.1", 5000], "remote": ["127.0.0.1", 6379], "role": "client"}
    stream = frame(HELLO, 1, "test", 0, "host", "file") + frame(FLOW, 1, None, ends)
    offset = 0
    for key in sorted(keys):
        client.call("SET", key, "")
        data = command("GET", key)
        stream += frame(DATA, 1, SENT, 1, offset, data)
        offset += len(data)
    recording = tmp_path / "keys.tap"
    recording.write_bytes(stream + frame(CLOSE, 1, 2, "closed") + frame(END, True, {}))

    patterns = {"", "*", "**", "?", "[", "[^", "[]", "\\", "session:*", "??", "[ä]", "[\u0080-z]", "ä", "*a*b*"}
    patterns |= {text(8) for _ in range(120)}
    matched = 0
    for pattern in sorted(patterns):
        expected = set(client.call("KEYS", pattern))
        tap = tmp_path / "shown.tap"
        with open(recording, "rb") as stdin, open(tap, "wb") as stdout:
            # A pattern that begins with a dash looks like an option, and an empty one like none.
            option = [f"--key={pattern}"] if pattern else ["--key", ""]
            subprocess.run([*RESP, *option], stdin=stdin, stdout=stdout, check=True, timeout=60)
        shown = {as_bytes(fields[5]["args"][0]) for fields in tapwire.frames(tap) if fields[0] == tapwire.EXCHANGE}
        assert shown == expected, pattern
        matched += len(expected)
    assert matched > 500


def as_bytes(value):
    return value if isinstance(value, bytes) else value.encode()


@pytest.mark.live
def test_both_ends_of_a_connection_are_in_the_sample_or_none(redis, capture, tmp_path):
    server = redis()
    recording = tmp_path / "recording.tap"
    live = capture(["--port", server.port], [["tee", str(recording)], JSON])
    for number in range(300):
        with server.client() as client:
            client.call("SET", "connection", number)
    time.sleep(0.1)
    live.stop()
    everything, _ = decoded(recording, tmp_path / "all")
    sampled, _ = decoded(recording, tmp_path / "sampled", "--sample", "1/5")
    assert len(everything) == 600 and 20 * 2 <= len(sampled) <= 110 * 2
    both = {client: [line for line in sampled if line["client"] == client] for client in {line["client"] for line in sampled}}
    assert all({line["direction"] for line in lines} == {"egress", "ingress"} for lines in both.values())
    # The same ones every time, and nothing but them.
    again, _ = decoded(recording, tmp_path / "again", "--sample", "1/5")
    assert again == sampled == [line for line in everything if line["client"] in both]
    whole, _ = decoded(recording, tmp_path / "whole", "--sample", "1/1")
    assert whole == everything


@pytest.mark.parametrize(
    "options,expected",
    [
        (["--command", ""], "expected one word, or two"),
        (["--not-command", "a b c"], "expected one word, or two"),
        (["--class", "reed"], "expected any of unknown, blocking,"),
        (["--not-class", "read,"], "expected any of"),
        (["--slower-than", "3 weeks"], "expected a number above 0"),
        (["--db", "x"], "expected its number, 0 or above"),
        (["--max-value", "0"], "expected a number from 1"),
        (["--sample", "2/3"], "expected 1/N"),
        (["--sample", "1/0"], "expected 1/N"),
    ],
)
def test_what_an_option_expects_is_said(options, expected):
    said = subprocess.run([*RESP, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert (said.returncode, said.stdout) == (64, "")
    assert said.stderr.startswith("tap-resp: ") and expected in said.stderr


def test_values_are_cut_and_say_their_length(tmp_path):
    ends = {"transport": "tcp", "local": ["127.0.0.1", 5000], "remote": ["127.0.0.1", 6379], "role": "client"}
    data = command("SET", "key", "v" * 5000) + command("GET", "short")
    recording = tmp_path / "in.tap"
    recording.write_bytes(
        frame(HELLO, 1, "test", 0, "host", "file") + frame(FLOW, 1, None, ends) + frame(DATA, 1, SENT, 1, 0, data)
        + frame(DATA, 1, 1, 2, 0, b"+OK\r\n$5\r\nvalue\r\n") + frame(CLOSE, 1, 3, "closed") + frame(END, True, {})
    )  # fmt: skip
    lines, _ = decoded(recording, tmp_path / "out", "--max-value", "1K")
    assert lines[0]["args"] == ["key", {"cut": "v" * 1024, "length": 5000}]
    assert lines[0]["flags"] == ["cut"]
    assert (lines[1]["args"], lines[1]["response_value"]) == (["short"], "value")
