# Real captures with what the clients really sent and received: read from a file, decoded, printed, and compared.

import json
import os
from collections import defaultdict

import pytest

from harness.exchanges import expected_response, json_string
from harness.pipeline import JSON, RESP, ROOT, run, tool
from harness.resp import Client

CORPUS = os.path.join(ROOT, "..", "shared", "corpus", "redis-live")

pytestmark = pytest.mark.skipif(not os.path.isdir(CORPUS), reason=f"{CORPUS} is not there")

# Every reply is compared but where secrets are replaced or the protocol is left.
SCENARIOS = [
    "blocking", "cluster", "client_reply", "hello_switch", "ipv6_misc", "lua", "multi", "nulls_resp2", "pipeline",
    "pubsub_resp2", "resp3_types", "ssubscribe", "tracking", "monitor", "inline", "auth",
]  # fmt: skip


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
            length = int(self._line()[1:])
            content = [super(Bytes, self).read() for _ in range(length * (2 if kind == b"|" else 1))]
            if kind == b"|" or self.depth:
                return self.read()
            return type("Push", (list,), {})(content)
        self.depth += 1
        value = super().read()
        self.depth -= 1
        return value

    depth = 0


def oracle(scenario):
    with open(os.path.join(CORPUS, f"{scenario}.oracle.jsonl")) as file:
        return [json.loads(line) for line in file]


def raw(text):
    """The oracle's strings hold one character for each byte."""
    return text.encode("latin-1")


def decoded(scenario, tmp_path):
    capture = [tool("tap-capture"), "--read", os.path.join(CORPUS, f"{scenario}.pcap")]
    output = run([capture, RESP, JSON], tmp_path)
    by_port = defaultdict(list)
    for line in output.splitlines():
        exchange = json.loads(line)
        if "command" in exchange:
            by_port[int(exchange["client"].rsplit(":", 1)[1])].append(exchange)
    return by_port


def is_push(reply):
    return reply.startswith(">")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exchanges_are_those_of_the_oracle(scenario, tmp_path):
    found = decoded(scenario, tmp_path)
    expected = defaultdict(list)
    for line in oracle(scenario):
        if line["kind"] == "tx":
            expected[line["client_port"]].append(line)
    assert expected
    for port, lines in expected.items():
        requests = [exchange for exchange in found[port] if not exchange["command"].startswith("(")]
        words = [[json_string(raw(word)) for word in line["argv"]] for line in lines]
        seen = [[exchange["command"], *exchange["args"]] for exchange in requests]
        position = 0
        for line, wanted in zip(lines, words):
            wanted[0] = wanted[0].upper()
            # Commands that the oracle lists elsewhere (raw lines, groups) stand between.
            while position < len(seen) and not same(seen[position], wanted):
                position += 1
            assert position < len(seen), f"port {port}: {wanted[:4]} is missing behind {seen[:position][-2:]}"
            # Lines that the oracle took in one go tell of no single reply.
            if "replies" in line:
                check_reply(requests[position], line["replies"] or [])
            position += 1


def same(seen, wanted):
    return len(seen) == len(wanted) and all(a == b or a == "(redacted)" for a, b in zip(seen, wanted))


def check_reply(exchange, replies):
    if not replies:
        assert "response_type" not in exchange or exchange["response_type"] is None, exchange
        return
    values = [expected_response(Bytes(raw(reply)).read()) for reply in replies]
    if len(values) == 1:
        if values[0][0] == "error" and "(redacted)" in str(exchange["response_value"]):
            return
        assert (exchange["response_type"], exchange["response_value"]) == values[0], exchange
    else:
        # Several confirmations are one exchange.
        assert exchange["response_value"] == [value for _, value in values], exchange
