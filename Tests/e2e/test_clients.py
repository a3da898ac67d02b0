# The clients that people use, all at once and in every mode: what the pipeline shows is what the server counted.

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict

import pytest

from harness import tapwire
from harness.exchanges import CONTAINERS, command_statistics
from harness.pipeline import JSON, RESP, ROOT
from harness.resp import command

pytestmark = pytest.mark.live

CLIENTS = os.path.join(ROOT, "Tests", "e2e", "clients")


def client(program, *arguments):
    return lambda port, name: [*program, os.path.join(CLIENTS, arguments[0]), str(port), name, *arguments[1:]]


# redis-py parses RESP2 with hiredis, which the tests have installed, and RESP3 as well.
PROGRAMS = {
    "py2": client([sys.executable], "sync.py", "2"),
    "py3": client([sys.executable], "sync.py", "3"),
    "async2": client([sys.executable], "async.py", "2"),
    "async3": client([sys.executable], "async.py", "3"),
    "php": client(["php"], "phpredis.php"),
    "ruby": client(["ruby"], "redis-rb.rb"),
    "perl": client(["perl"], "redis.pl"),
    "node": client(["node"], "node-redis.cjs"),
    "benchmark": lambda port, name: [
        "redis-benchmark", "-p", str(port), "-q", "-c", "5", "-n", "2000", "-P", "7", "-r", "100",
        "-t", "set,get,incr,lpush,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset",
    ],
}  # fmt: skip

# What redis-server refuses before it runs it is in no statistics.
REFUSED = ("ERR unknown", "ERR Unknown", "ERR wrong number")


def named(exchange):
    """A command as INFO commandstats names it."""
    name, args = exchange["command"], exchange["args"]
    return f"{name} {args[0].upper()}" if name in CONTAINERS | {"FUNCTION", "ACL"} and args else name


def shown(path):
    """Per direction: how often each command was run, and the exchanges."""
    counts, exchanges = defaultdict(Counter), defaultdict(list)
    with open(path, "rb") as lines:
        for exchange in map(json.loads, lines):
            if "command" not in exchange and "response_type" not in exchange:
                continue
            exchanges[exchange["direction"]].append(exchange)
            if "command" not in exchange:
                continue
            value = exchange.get("response_value")
            refused = exchange.get("response_type") == "error" and value.startswith(REFUSED)
            # DISCARD, and a transaction that a watched key broke: these were never run.
            never = "queued" in exchange.get("flags", []) and value == "QUEUED"
            if not refused and not never:
                counts[exchange["direction"]][named(exchange)] += 1
    return counts, exchanges


def raw_modes(server):
    """What no client's library does on purpose: inline commands, replies switched off, MONITOR and RESET, RESP3 by HELLO."""
    with server.client() as raw:
        raw.send(b'SET raw:1 "raw:1|\\x41 b"\r\nGET raw:1\r\n\r\n*0\r\n')
        assert [raw.read(), raw.read()] == [b"OK", b"raw:1|A b"]
        raw.send(command("CLIENT", "REPLY", "OFF") + command("SET", "raw:2", "raw:2|v") * 10)
        raw.send(command("CLIENT", "REPLY", "ON"))
        assert raw.read() == b"OK"
        raw.send(command("CLIENT", "REPLY", "SKIP") + command("SET", "raw:3", "raw:3|v") + command("GET", "raw:3"))
        assert raw.read() == b"raw:3|v"
        raw.call("HELLO", 3)
        raw.call("CLIENT", "TRACKING", "ON")
        assert raw.call("GET", "raw:2") == b"raw:2|v"
        with server.client() as other:
            other.call("SET", "raw:2", "raw:2|again")
        assert raw.read() == [b"invalidate", [b"raw:2"]]
        raw.call("CLIENT", "TRACKING", "OFF")
        raw.send(command("SUBSCRIBE", "raw:a", "raw:b") + command("PUBLISH", "raw:a", "own") + command("GET", "raw:1"))
        assert [raw.read()[0] for _ in range(3)] == [b"subscribe", b"subscribe", b"message"]
        assert [raw.read(), raw.read()] == [1, b"raw:1|A b"]
        assert raw.call("RESET") == b"RESET"
        assert raw.call("GET", "raw:3") == b"raw:3|v"
        assert raw.call("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function(k) return k[1] end)") == b"lib"
        assert raw.call("FCALL", "f", 1, "raw:k") == b"raw:k"
        assert raw.call("WAIT", 0, 10) == 0
        raw.call("QUIT")


def test_every_command_of_many_clients_at_once(redis, capture, tmp_path):
    server = redis()
    stream = tmp_path / "exchanges.tap"
    run = capture(["--port", server.port, "--buffer", "64M"], [RESP, ["tee", str(stream)], JSON])
    with server.client() as admin, server.client() as watching:
        admin.call("CONFIG", "RESETSTAT")
        watching.call("MONITOR")
        environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
        running = {
            name: subprocess.Popen(
                arguments(server.port, name), env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=open(tmp_path / f"{name}.err", "wb"),
            )
            for name, arguments in PROGRAMS.items()
        }  # fmt: skip
        try:
            raw_modes(server)
            deadline = time.monotonic() + 60
            for name, process in running.items():
                assert process.wait(max(1, deadline - time.monotonic())) == 0, (tmp_path / f"{name}.err").read_text()
        finally:
            for process in running.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
        watching.close()
        statistics = command_statistics(admin)
        statistics["INFO"] += 1  # it cannot count itself
    run.stop()
    frames = Counter(frame[0] for frame in tapwire.frames(stream))
    assert frames[tapwire.GAP] == 0 and frames[tapwire.END] == 1
    counts, exchanges = shown(run.output)
    for direction in ("ingress", "egress"):
        assert counts[direction] == statistics, (counts[direction] - statistics, statistics - counts[direction])
        check_values(exchanges[direction])
    assert sum(statistics.values()) > 25_000


def check_values(exchanges):
    """Each value names its key, so that a wrong pair cannot hide; and no pair is in doubt."""
    values = 0
    for exchange in exchanges:
        allowed = {"push", "monitor", "blocking", "queued", "no_reply"}
        if exchange.get("command") == "QUIT":
            # Not every client waits for its answer.
            allowed.add("unanswered")
        assert set(exchange.get("flags", [])) <= allowed, exchange
        if exchange.get("command") != "GET" or exchange.get("response_type") != "bulk_string":
            continue
        key = exchange["args"][0]
        if "|" in exchange["response_value"]:
            assert exchange["response_value"].startswith(f"{key}|"), exchange
            values += 1
    assert values > 1000
