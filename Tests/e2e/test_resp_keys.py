# The keys of every command that a real redis-server has: its own COMMAND GETKEYS says which they are.

import json

import cbor2

from harness.pipeline import JSON, RESP, run
from harness.resp import Error, command
from harness.tapwire import CLOSE, DATA, END, FLOW, HELLO, SENT

# Behind words and numbers stand keys, or what looks like them.
FORMS = [
    "a", "a b", "a b c", "a b c d", "1 a b c", "2 a b c d", "a 1 b c", "a 2 b c d", "a 1 b", "a b 1 c d", "0 1 a b",
    "0 2 a b LEFT", "a b 2 c d e", "GROUP g c STREAMS a b 0 0", "a b c d e f",
]  # fmt: skip
SPECIAL = [
    "XREAD COUNT 2 BLOCK 10 STREAMS a b c 0 0 0", "XREADGROUP GROUP g c STREAMS a b > >", "SORT a BY w_* GET # STORE d",
    "SORT a LIMIT 0 1 ALPHA", "GEORADIUS a 1 2 3 km STORE d", "GEORADIUS a 1 2 3 km STOREDIST d",
    "GEORADIUSBYMEMBER a m 3 km STOREDIST d", "EVAL x 0", "EVAL x 3 a b c", "FCALL f 2 a b c",
    "MIGRATE h 1 k 0 10 COPY", "ZUNIONSTORE d 2 a b WEIGHTS 1 2 AGGREGATE MAX", "ZDIFFSTORE d 2 a b", "SINTERCARD 2 a b LIMIT 3",
    "LMPOP 2 a b LEFT COUNT 3", "BLMPOP 0 2 a b LEFT", "BZMPOP 0 1 a MIN", "OBJECT ENCODING a", "XGROUP CREATE a g $",
    "XINFO STREAM a FULL", "MEMORY USAGE a SAMPLES 5", "BITOP AND d a b c", "PFMERGE d a b", "COPY a b DB 2", "LCS a b LEN",
    "SET a b EX 10 GET", "MSETNX a 1 b 2", "BLMOVE a b LEFT RIGHT 0", "GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 km",
]  # fmt: skip


def names(commands):
    """Every command and subcommand as words."""
    for entry in commands:
        subcommands = entry[9]
        if subcommands:
            yield from names(subcommands)
        else:
            yield entry[0].decode().upper().split("|")


def frame(*fields):
    return cbor2.dumps(cbor2.dumps(list(fields)))


def test_keys_are_those_that_the_server_names(redis, tmp_path):
    client = redis().client()
    tried = [words + form.split() for words in names(client.call("COMMAND")) for form in FORMS]
    tried += [line.split() for line in SPECIAL]
    expected = []
    for words in tried:
        keys = client.call("COMMAND", "GETKEYS", *words)
        if not isinstance(keys, Error):
            expected.append((words, [key.decode() for key in keys]))
    assert len({words[0] for words, _ in expected}) > 120
    ends = {"transport": "tcp", "local": ["127.0.0.1", 5000], "remote": ["127.0.0.1", 6379], "role": "client"}
    stream = frame(HELLO, 1, "test", 0, "host", "file") + frame(FLOW, 1, None, ends)
    offset = 0
    for words, _ in expected:
        data = command(*words)
        stream += frame(DATA, 1, SENT, 1, offset, data)
        offset += len(data)
    stream += frame(CLOSE, 1, 2, "closed") + frame(END, True, {})
    (tmp_path / "in.tap").write_bytes(stream)
    lines = [json.loads(line) for line in run([RESP, JSON], tmp_path / "out", stdin=tmp_path / "in.tap").splitlines()]
    assert len(lines) == len(expected)
    wrong = [
        (words, exchange.get("keys"), keys)
        for exchange, (words, keys) in zip(lines, expected)
        if exchange.get("keys", []) != keys
    ]
    assert not wrong
    assert all(exchange["class"] != "unknown" for exchange in lines)
