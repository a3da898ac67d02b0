# Captures of other projects: the values that tcpdump prints, the commands and replies of spicy-redis, and the counts of a
# reference decoder for every capture that there is.

import csv
import json
import os
import re
from collections import Counter, defaultdict

import pytest

from harness.pipeline import JSON, RESP, ROOT, run, tool

CORPUS = os.path.join(ROOT, "..", "shared", "corpus")
PUBLIC = os.path.join(CORPUS, "redis-public")

pytestmark = pytest.mark.skipif(not os.path.isdir(PUBLIC), reason=f"{PUBLIC} is not there")


def decoded(path, tmp_path):
    """The exchanges of each client port, in order."""
    found = defaultdict(list)
    for line in run([[tool("tap-capture"), "--read", path], RESP, JSON], tmp_path).splitlines():
        exchange = json.loads(line)
        found[int((exchange["client"] or exchange["remote"]).rsplit(":", 1)[1])].append(exchange)
    return found


# tcpdump: each value, without pairs

# What is a command for redis-server is an odd value for tcpdump.
NO_COMMANDS = {"resp_3_malicious.pcap": range(52760, 52776)}


def printed(path):
    """(words of the client, values of the server) of each client port, as tcpdump prints them."""
    sides = defaultdict(lambda: ([], []))
    with open(path) as file:
        for line in file:
            if packet := re.search(r"IP [\d.]+\.(\d+) > [\d.]+\.(\d+): Flags .*?: RESP (.*)", line):
                source, target, values = packet.groups()
                side, port = (0, source) if target == "6379" else (1, target)
                sides[int(port)][side].extend(re.findall(r'"(.*?)"(?= |$)|(null)', values))
    return {port: [[text for text, _ in side] for side in both] for port, both in sides.items()}


def values(exchange):
    value = exchange["response_value"]
    return value if isinstance(value, list) else ["" if value is None else value]


@pytest.mark.parametrize("capture", ["resp_1_benchmark.pcap", "resp_2_inline.pcap", "resp_3_malicious.pcap"])
def test_values_are_those_of_tcpdump(capture, tmp_path):
    found = decoded(os.path.join(PUBLIC, "tcpdump", capture), tmp_path)
    for port, (requests, replies) in printed(os.path.join(PUBLIC, "tcpdump", f"{capture[:6]}.out")).items():
        answers = [exchange for exchange in found[port] if exchange["response_type"]]
        assert [value for exchange in answers for value in values(exchange)] == replies, port
        if port not in NO_COMMANDS.get(capture, ()):
            words = [word for exchange in found[port] for word in [exchange["command"], *exchange["args"]]]
            assert " ".join(words).upper() == " ".join(requests).upper(), port


def test_a_line_of_dollar_signs_is_no_redis(tmp_path):
    assert not decoded(os.path.join(PUBLIC, "tcpdump", "resp_4_infiniteloop.pcapng"), tmp_path)


# spicy-redis: commands with their keys, and replies

SPICY = {
    "almost-redis": "almost-resp", "client-reply-off": "reply-off-on", "client-reply-off-2conn": "reply-off-on-2conn",
    "client-skip-while-off": "client-skip-while-off", "django": "django-cache", "django-cloud": "django-cloud",
    "excessive-pipelining": "excessive-pipelining", "pipeline-with-quotes": "pipeline-quotes",
    "pipelined": "pipelining-example", "pipelined-with-commands": "pipeline-with-commands", "pubsub": "pubsub",
    "stream": "stream", "trace": "loop-redis",
}  # fmt: skip


@pytest.mark.parametrize("name", SPICY)
def test_commands_and_replies_are_those_of_spicy_redis(name, tmp_path):
    found = decoded(os.path.join(PUBLIC, "spicy-redis", "Traces", f"{SPICY[name]}.pcap"), tmp_path)
    commands, replies = defaultdict(Counter), defaultdict(Counter)
    with open(os.path.join(PUBLIC, "spicy-redis", "Baseline", f"tests.{name}", "redis.log")) as log:
        for line in log:
            if not line.startswith("#"):
                fields = line.rstrip("\n").split("\t")
                port, command, key, data = int(fields[3]), fields[6].upper(), fields[7], fields[10]
                # Beyond its limit of pipelining there are replies only. What stands behind a command that breaks the protocol
                # is one for it.
                if command != "-" and not (name == "pipeline-with-quotes" and key == "bad2"):
                    commands[port][command, key] += 1
                if data not in ("-", "(empty)") and not data.startswith("["):
                    replies[port][data] += 1
    for port, wanted in commands.items():
        seen = [exchange for exchange in found[port] if "command" in exchange]
        if name != "excessive-pipelining":
            assert sum(wanted.values()) == len(seen)
        # A key is logged for some commands only.
        keys = Counter((exchange["command"], exchange["args"][0]) for exchange in seen if exchange["args"])
        names = Counter(exchange["command"] for exchange in seen)
        for (command, key), count in wanted.items():
            assert (names[command] if key == "-" else keys[command, key]) >= count, (port, command, key)
    for port, wanted in replies.items():
        # Which reply belongs to which command is not compared: it takes a reply for that of the command before.
        assert not wanted - Counter(str(exchange.get("response_value")) for exchange in found[port]), port


# Counts

# Captures whose counts differ for a reason: (commands, replies, pushes) of ours.
DIFFERENT = {
    # TLS, HTTP, and what only the port makes Redis: nothing is claimed.
    "redis-public/spicy-redis/Traces/tls.pcap": (0, 0, 0), "redis-live/tls.pcap": (0, 0, 0),
    "redis-public/zeek/traces/oss-fuzz-473580107.pcap": (0, 0, 0), "redis-public/zeek/traces/attr.pcap": (0, 0, 0),
    # What breaks the protocol is shown, and answered; the server closes, and what is sent behind it is no command.
    "redis-public/spicy-redis/Traces/pipeline-quotes.pcap": (7, 7, 0),
    "redis-public/zeek/traces/pipeline-quotes.pcap": (7, 7, 0), "redis-live/inline.pcap": (11, 11, 0),
    "redis-live/proto_errors.pcap": (9, 9, 0),
    # Lines of one odd word are commands, which the server refuses one by one.
    "redis-public/tcpdump/resp_3_malicious.pcap": (21, 21, 0),
    # The push inside of EXEC's array is an exchange of its own.
    "redis-live/pubsub_resp3.pcap": (12, 9, 8),
    # A command that is cut by the end of its connection is shown.
    "redis-live/half_close.pcap": (4, 2, 0),
    # Snapshots are replies; what the master passes on is no request; the mark and the acknowledgements are neither.
    "redis-live/psync_disk.pcap": (243, 239, 0), "redis-live/psync_diskless.pcap": (243, 238, 0),
    "redis-live/sync_raw.pcap": (1, 2, 0),
}  # fmt: skip


SUBSCRIBING = {f"{kind}{word}" for kind in ("", "P", "S") for word in ("SUBSCRIBE", "UNSUBSCRIBE")}


def counts(exchanges):
    """Commands, replies and pushes of a connection, as a reader counts them who does not pair."""
    commands = replies = pushes = 0
    has_pushes = any(exchange.get("response_type") == "push" for exchange in exchanges)
    for exchange in exchanges:
        flags = exchange.get("flags", [])
        commands += "command" in exchange and ("replication" not in flags or "no_reply" in flags)
        if not exchange.get("response_type"):
            continue
        # The confirmations of several channels are one response, and in RESP3 each of them is a push.
        value = exchange["response_value"]
        several = exchange.get("command") in SUBSCRIBING and value and isinstance(value[0], list)
        messages = len(value) if several else 1
        if exchange["response_type"] == "push" or several and has_pushes:
            pushes += messages
        else:
            replies += messages
    return commands, replies, pushes


def rows():
    path = os.path.join(CORPUS, "redis-counts.tsv")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["pcap"])
def test_counts_are_those_of_the_reference(row, tmp_path):
    found = decoded(os.path.join(CORPUS, row["pcap"]), tmp_path).values()
    wanted = tuple(int(row[f"ref_{name}"]) for name in ("commands", "replies", "pushes"))
    assert tuple(map(sum, zip((0, 0, 0), *map(counts, found)))) == DIFFERENT.get(row["pcap"], wanted)
