# Zeek's own test captures, with the commands and replies that Zeek pairs: another state machine came to the same.

import json
import os
from collections import Counter, defaultdict

import pytest

from harness.pipeline import JSON, RESP, ROOT, run, tool

ZEEK = os.path.join(ROOT, "..", "shared", "corpus", "redis-public", "zeek")

pytestmark = pytest.mark.skipif(not os.path.isdir(ZEEK), reason=f"{ZEEK} is not there")

# Baseline: capture. Not compared: "almost-redis" and "attributes", inline words on Redis' port that Zeek believes by the
# port alone, and those without a log.
CAPTURES = {
    "client-reply-off": "reply-off-on.pcap",
    "client-reply-off-2conn": "reply-off-on-2conn.pcap",
    "client-skip-while-off": "client-skip-while-off.pcap",
    "django-cloud": "django-cloud.pcapng",
    "excessive-pipelining": "excessive-pipelining.pcap",
    "pipeline-with-quotes": "pipeline-quotes.pcap",
    "pipelined": "pipelining-example.pcap",
    "pipelined-with-commands": "pipeline-with-commands.pcap",
    "pubsub": "pubsub.pcap",
    "stream": "stream.pcap",
}


def zeek_pairs(name):
    """(command, success, reply) of each client port, in order."""
    pairs = defaultdict(list)
    with open(os.path.join(ZEEK, "baseline", f"scripts.base.protocols.redis.{name}", "redis.log")) as log:
        for line in log:
            if not line.startswith("#"):
                fields = line.rstrip("\n").split("\t")
                pairs[int(fields[3])].append((fields[6], fields[9], fields[10]))
    return pairs


def ours(name, tmp_path):
    capture = [tool("tap-capture"), "--read", os.path.join(ZEEK, "traces", CAPTURES[name])]
    found = defaultdict(list)
    for line in run([capture, RESP, JSON], tmp_path).splitlines():
        exchange = json.loads(line)
        port = (exchange["client"] or exchange["remote"]).rsplit(":", 1)[1]
        found[int(port)].append(exchange)
    return found


# No beginning was captured: pairs are Zeek's guess and ours, and ours says so.
JOINED = ["django-cloud", "stream"]


def pair(exchange):
    """An exchange as a line of Zeek's log; an aggregate is not compared."""
    kind, value = exchange.get("response_type"), exchange.get("response_value")
    success = "-" if kind is None else "F" if kind == "error" else "T"
    if kind is None:
        return exchange["command"], success, "-"
    # A null, too, is empty for Zeek.
    return exchange["command"], success, (value or "(empty)") if isinstance(value, str | None) else "[…]"


def expected(pairs):
    """Zeek's lines without what is its own: aggregates as text, a line for what follows what breaks the protocol."""
    for command, success, reply in pairs:
        if "Protocol error" in reply:
            yield command, success, reply
            return
        # Replies beyond what its limit calls excessive pipelining have no command; in this capture it is always PING.
        command = "PING" if command == "-" else command
        yield command, success, "[…]" if reply.startswith("[") else reply


# In one segment commands have the same time, so that order is not compared: what was paired with what is.
@pytest.mark.parametrize("name", [name for name in CAPTURES if name not in JOINED])
def test_pairs_are_those_of_zeek(name, tmp_path):
    found = ours(name, tmp_path)
    for port, pairs in zeek_pairs(name).items():
        wanted = Counter(expected(pairs))
        seen = Counter(pair(exchange) for exchange in found[port] if "command" in exchange)
        # Zeek takes the confirmation of a SUBSCRIBE for a message.
        assert {key for key in seen - wanted} <= {("SUBSCRIBE", "T", "[…]")}, port
        assert {key for key in wanted - seen} <= {("SUBSCRIBE", "-", "-")}, port


@pytest.mark.parametrize("name", JOINED)
def test_joined_captures_have_the_same_commands_and_no_certain_pair(name, tmp_path):
    found = ours(name, tmp_path)
    for port, pairs in zeek_pairs(name).items():
        commands = [exchange for exchange in found[port] if "command" in exchange]
        assert Counter(exchange["command"] for exchange in commands) == Counter(command for command, _, _ in pairs)
        wrong = Counter(map(pair, commands)) - Counter(expected(pairs))
        assert all("unvouched" in exchange["flags"] for exchange in commands if pair(exchange) in wrong)
