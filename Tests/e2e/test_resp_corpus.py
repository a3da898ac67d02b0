# Real captures with what the clients really sent and received: read from a file, decoded, and compared to the last exchange.

import hashlib
import json
import os
import re
import shlex
from collections import Counter, defaultdict

import pytest

from harness.exchanges import as_bytes, expected_response, json_string
from harness.pipeline import JSON, RESP, ROOT, run, tool
from harness.resp import Client, Push

CORPUS = os.path.join(ROOT, "..", "shared", "corpus", "redis-live")

pytestmark = pytest.mark.skipif(not os.path.isdir(CORPUS), reason=f"{CORPUS} is not there")

SCENARIOS = [
    "auth", "blocking", "client_reply", "cluster", "half_close", "hello_switch", "huge", "inline", "ipv6_misc", "lua",
    "monitor", "multi", "nulls_resp2", "pipeline", "proto_errors", "psync_disk", "psync_diskless", "pubsub_resp2",
    "pubsub_resp3", "resp3_types", "shutdown", "ssubscribe", "sync_raw", "tracking",
]  # fmt: skip

# What raw connections said, of which the oracle has only the bytes: (command or None, response_type or None).
RAW = {
    ("half_close", 56246): [("SET", "simple_string"), ("GET", "bulk_string")],
    ("half_close", 56262): [("GET", None)],
    ("half_close", 56272): [("GET", None)],
    ("inline", 37998): [("ECHO", "error")],
    ("proto_errors", 38010): [("*3000000000\r\n", "error")],
    ("proto_errors", 38024): [("SET", "error")],
    ("proto_errors", 38032): [("SET", "error")],
    ("proto_errors", 38034): [("SET", "error")],
    ("shutdown", 45472): [("SHUTDOWN", None)],
}


class Bytes(Client):
    """Reads values from bytes instead of a socket."""

    def __init__(self, data):
        self._buffer, self._position = bytearray(data), 0

    def _fill(self):
        raise AssertionError("the reply is not whole")

    def read(self):
        # An attribute belongs to the value behind it, and a push inside of an aggregate is no element.
        kind = self._buffer[self._position : self._position + 1]
        if kind in (b"|", b">"):
            length = int(self.read_line()[1:])
            content = [super(Bytes, self).read() for _ in range(length * (2 if kind == b"|" else 1))]
            if kind == b"|" or self.depth:
                return self.read()
            return Push(content)
        self.depth += 1
        value = super().read()
        self.depth -= 1
        return value

    depth = 0


def raw(text):
    """The oracle's strings hold one character for each byte; of a long one it has the digest."""
    return Digest(text) if isinstance(text, dict) else text.encode("latin-1")


class Digest:
    """A long string, or the bytes of a large reply, known by length and SHA-256, and by its beginning."""

    def __init__(self, entry):
        self.length, self.digest, self.head = entry["len"], entry["sha256_latin1"], entry["head"]

    def response(self):
        return ("array" if self.head.startswith("*") else "bulk_string"), self

    def matches(self, data):
        return len(data) == self.length and hashlib.sha256(data).hexdigest() == self.digest


def oracle(scenario):
    with open(os.path.join(CORPUS, f"{scenario}.oracle.jsonl")) as file:
        return [json.loads(line) for line in file]


def decoded(scenario, tmp_path):
    """The exchanges of each client port, in order."""
    capture = [tool("tap-capture"), "--read", os.path.join(CORPUS, f"{scenario}.pcap")]
    by_port = defaultdict(list)
    for line in run([capture, RESP, JSON], tmp_path).splitlines():
        exchange = json.loads(line)
        by_port[int(exchange["client"].rsplit(":", 1)[1])].append(exchange)
    return by_port


# What the oracle says, as exchanges


class Model:
    """Turns what a client saw into the exchanges that must come of it: (words or None, response or None)."""

    def __init__(self):
        self.expected, self.queue, self.silent = [], None, False

    def command(self, argv, replies):
        """A command with the values that came for it, in order."""
        name = argv[0].upper() if isinstance(argv[0], bytes) else argv[0]
        if len(replies) == 1 and replies[0] == b"QUEUED" and self.queue is not None:
            self.queue.append(argv)
            return
        if name in (b"EXEC", b"DISCARD", b"RESET") and self.queue is not None:
            self.release(replies[0] if name == b"EXEC" else None)
        if name == b"MULTI" and replies == [b"OK"]:
            self.queue = []
        if not replies:
            self.expected.append((argv, None))
            return
        # Several confirmations are one exchange.
        whole = replies[0] if len(replies) == 1 else [list(reply) for reply in replies]
        response = whole.response() if isinstance(whole, Digest) else expected_response(whole)
        self.expected.append((argv, response))

    def release(self, reply):
        """Each queued command gets its element, or keeps its QUEUED where it was not executed."""
        executed = isinstance(reply, list)
        for index, argv in enumerate(self.queue):
            response = expected_response(reply[index]) if executed else ("simple_string", "QUEUED")
            self.expected.append((argv, response))
        self.queue = None

    def message(self, value):
        self.expected.append((None, expected_response(value)))


def modelled(lines):
    models = defaultdict(Model)
    for line in lines:
        kind, model = line["kind"], models[line.get("client_port")]
        if kind == "tx":
            values = [parsed(reply) for reply in line.get("wire_order") or line["replies"] or []]
            if line.get("wire_order"):
                for value in values[:-1]:
                    model.message(value)
                values = values[-1:]
            model.command([raw(word) for word in line["argv"]], values)
        elif kind == "tx-group":
            group(model, line)
        elif kind == "unanswered" and "client_port" in line:
            model.command([raw(word) for word in line["argv"]], [])
        elif kind in ("message", "pmessage", "smessage", "push", "monitor-line"):
            model.message(parsed(line["raw"]))
    return models


def parsed(reply):
    return raw(reply) if isinstance(reply, dict) else Bytes(raw(reply)).read()


def group(model, line):
    """`MULTI|GET k|EXEC`, `CLIENT REPLY SKIP x2|INCR n`: commands that were sent at once, with the bytes that came back."""
    replies = [reply for reply in line["wire_order"]]
    skip = False
    for words in "|".join(line["argv"]).split("|"):
        words, _, count = words.partition(" x")
        for _ in range(int(count or 1)):
            argv = words.encode().split()
            silent = argv[:3] == [b"CLIENT", b"REPLY", b"SKIP"]
            if silent or skip:
                skip = silent
                model.command(argv, [])
                continue
            reply = replies.pop(0)
            if (push := re.search(r">3\r\n(\$\d+\r\n[^\r]*\r\n){3}", reply)) is not None:
                model.message(parsed(push.group()))
            model.command(argv, [parsed(reply)])
    assert not replies


# The comparison


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exchanges_are_those_of_the_oracle(scenario, tmp_path):
    found = decoded(scenario, tmp_path)
    links = {
        port for port, exchanges in found.items() if any("replication" in e.get("flags", []) for e in exchanges)
    }  # fmt: skip
    models = modelled(oracle(scenario))
    expected = {port: model.expected for port, model in models.items() if model.expected}
    for (name, port), exchanges in RAW.items():
        if name == scenario:
            tail = found[port][-len(exchanges) :]
            assert [(e.get("command"), e.get("response_type")) for e in tail] == exchanges
            del found[port][-len(exchanges) :]
            expected.setdefault(port, [])
    assert set(found) - links == set(expected), "connections"
    for port, exchanges in expected.items():
        # A message may be written before or after the reply of the command that caused it, and was read at any time.
        for is_wanted in (lambda words: words is not None, lambda words: words is None):
            wanted = [(words, response) for words, response in exchanges if is_wanted(words)]
            seen = [e for e in found[port] if is_wanted(e.get("command"))]
            assert len(seen) == len(wanted), (port, seen[len(wanted) :], wanted[len(seen) :])
            for exchange, (words, response) in zip(seen, wanted):
                check(exchange, words, response)


def check(exchange, words, response):
    flags = set(exchange.get("flags", []))
    assert flags <= {"blocking", "push", "monitor", "no_reply", "queued", "unanswered"}, exchange
    if words is not None:
        seen = [exchange["command"], *exchange["args"]]
        assert len(seen) == len(words)
        assert same(seen[0], words[0].upper()), (exchange, words)
        for word, wanted in zip(seen[1:], words[1:]):
            assert word == "(redacted)" or same(word, wanted), (exchange, words)
    if response is None:
        assert exchange.get("response_type") is None, exchange
        return
    kind, value = response
    assert exchange["response_type"] == kind, exchange
    if isinstance(value, Digest):
        return check_large(exchange["response_value"], value)
    assert exchange["response_value"] == value or is_redacted(exchange["response_value"], value), (exchange, value)


def same(shown, wanted):
    if isinstance(wanted, Digest):
        return wanted.matches(as_bytes(shown))
    return shown == json_string(wanted)


def check_large(shown, digest):
    if isinstance(shown, list) and not all(isinstance(element, str) for element in shown):
        # COMMAND: JSON does not tell its simple strings from its bulk strings.
        assert digest.head.startswith(f"*{len(shown)}\r\n")
        return
    data = b"".join(bulk(element) for element in shown) if isinstance(shown, list) else bulk(shown)
    assert digest.matches(b"*%d\r\n%s" % (len(shown), data) if isinstance(shown, list) else data)


def bulk(shown):
    data = as_bytes(shown)
    return b"$%d\r\n%s\r\n" % (len(data), data)


def is_redacted(shown, value):
    """A line of MONITOR, or an error, in which only what may be secret differs."""
    if not isinstance(shown, str) or "(redacted)" not in shown:
        return False
    return value.startswith(shown.split("(redacted)")[0].rstrip('" '))


# Scenarios whose oracle is another one


@pytest.mark.parametrize("scenario", ["psync_disk", "psync_diskless", "sync_raw"])
def test_replicas_get_what_the_master_was_told(scenario, tmp_path):
    found = decoded(scenario, tmp_path)
    lines = oracle(scenario)
    port = lines[0]["client_port"]
    links = {p: e for p, e in found.items() if any("replication" in x.get("flags", []) for x in e)}
    snapshots = [e["response_value"] for es in links.values() for e in es if e.get("response_type") == "rdb"]
    assert snapshots and all(value["cut"] == "REDIS0010" for value in snapshots)
    assert all(e["command"] in ("SYNC", "PSYNC", "PING", "REPLCONF") or is_link(e) for es in links.values() for e in es if "command" in e)  # fmt: skip
    assert not any({"unvouched", "gap", "incomplete"} & set(e.get("flags", [])) for es in links.values() for e in es)
    streamed = [
        [e["command"], *e["args"]] for es in links.values() for e in es
        if "command" in e and is_link(e) and e["command"] not in ("SYNC", "PING", "REPLCONF")
    ]  # fmt: skip
    if scenario == "sync_raw":
        # The snapshot's length stands in the bytes that the raw client got.
        [received] = [line["raw"] for line in lines if line["kind"] == "raw-recv"]
        assert snapshots[0]["length"] == int(received[1 : received.index("\r\n")])
        assert streamed == [["SELECT", "0"], ["SET", "s1", "v"]]
        return
    behind = next(i for i, line in enumerate(lines) if line["argv"] == ["SET", "after", "sync"])
    wanted = [["SELECT", "0"]]
    for line in lines[behind:]:
        if line["client_port"] == port and line["argv"][0] in ("SET", "INCR", "MULTI", "EXEC", "SELECT"):
            wanted.append(line["argv"])
        if line["argv"][0] == "EVAL":
            wanted += [["MULTI"], ["SET", "lua", "1"], ["INCR", "lua"], ["EXEC"]]
    assert streamed == wanted


def is_link(exchange):
    return "replication" in exchange.get("flags", [])


def test_every_command_that_the_server_ran(tmp_path):
    """redis-py, sync and asyncio, RESP2 and RESP3: the server's own MONITOR is the oracle."""
    found = decoded("pyclients", tmp_path)
    ran = defaultdict(list)
    with open(os.path.join(CORPUS, "pyclients.monitor.txt")) as file:
        for line in file:
            database, port, words = re.match(r"\+[\d.]+ \[(\d+) [^\]]*:(\d+)\] (.*)", line).groups()
            ran[int(port)].append((int(database), shlex.split(words)))
    assert set(ran) <= set(found)
    for port, exchanges in found.items():
        assert all(exchange.get("flags", []) in ([], ["push"], ["queued"]) for exchange in exchanges)
        # Unknown subcommands are not run, and HELLO is not shown.
        requests = [
            (e["connection"]["database"], [e["command"], *e["args"]]) for e in exchanges
            if "command" in e and not (e["response_type"] == "error" or e["command"] == "HELLO")
        ]  # fmt: skip
        wanted = [(database, [words[0].upper(), *words[1:]]) for database, words in ran[port]]
        assert requests == [(database, words) for database, words in wanted if words[0] != "HELLO"], port


def test_every_command_of_a_benchmark(tmp_path):
    exchanges = [exchange for port in decoded("benchmark", tmp_path).values() for exchange in port]
    assert len(exchanges) == 8002
    assert not any("flags" in exchange for exchange in exchanges)
    names = Counter(exchange["command"] for exchange in exchanges)
    assert names == {"SET": 2000, "GET": 2000, "INCR": 2000, "LPUSH": 2000, "CONFIG": 2}


def test_tls_is_not_mistaken_for_anything(tmp_path):
    assert not decoded("tls", tmp_path)


def test_every_scenario_is_tested():
    scenarios = {name.partition(".")[0] for name in os.listdir(CORPUS) if name.endswith(".pcap")}
    assert scenarios == {*SCENARIOS, "pyclients", "benchmark", "tls"}
