# What --redact and --hash-keys hide is nowhere in the output: random words are planted in every place of everything that a
# real redis-server can be asked, and looked for under each mode.

import hashlib
import hmac
import json
import os
import random
import re
import subprocess

import cbor2
import pytest

from harness import tapwire
from harness.pipeline import JSON, RESP, run
from harness.resp import Error, command
from harness.tapwire import CLOSE, DATA, END, FLOW, GAP, HELLO, RECEIVED, SENT

# They would end the server or the connection, wait for long, or turn the connection into something else.
UNASKED = {
    "SHUTDOWN", "QUIT", "RESET", "MONITOR", "SYNC", "PSYNC", "REPLICAOF", "SLAVEOF", "FAILOVER", "DEBUG", "AUTH", "HELLO",
    "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MULTI", "EXEC", "REPLCONF",
    "CLIENT REPLY", "CLIENT PAUSE", "CLIENT KILL", "CLIENT NO-EVICT", "SAVE", "BGSAVE", "BGREWRITEAOF", "MODULE LOAD",
    "MODULE LOADEX", "FLUSHALL", "FLUSHDB", "SCRIPT DEBUG", "ACL LOAD", "ACL SAVE", "CONFIG REWRITE", "PFSELFTEST",
    "MIGRATE", "WAIT",
}  # fmt: skip
# Their last argument says how long they wait, or of two of them the first.
BLOCKING = {"BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BLMPOP", "BZMPOP"}
# `?` stands for a word of its own.
FORMS = ["", "?", "? ?", "? ? ?", "? ? ? ?", "2 ? ? ?", "? 1 ? ?", "? 2 ? ?", "0 1 ? LEFT", "? 5 ?", "? ? 5"]


class Canaries:
    """Words that stand nowhere else, by what they are."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        # Keys; arguments that no reply to a plain command gives back; values, which replies give back; passwords.
        self.keys, self.arguments, self.values, self.passwords = set(), set(), set(), set()
        # What may be either, where the server itself cannot tell.
        self.ambiguous = set()

    def word(self):
        return "".join(self._random.choice("abcdefghijkmnopqrstuvwxyz") for _ in range(14))

    def _planted(self, words):
        word = self.word()
        words.add(word)
        return word

    def key(self):
        return self._planted(self.keys)

    def argument(self):
        return self._planted(self.arguments)

    def value(self):
        return self._planted(self.values)

    def password(self):
        return self._planted(self.passwords)

    def number(self):
        number = str(self._random.randint(10**13, 10**14))
        self.values.add(number)
        return number


def names(commands):
    for entry in commands:
        if entry[9]:
            yield from names(entry[9])
        else:
            yield entry[0].decode().upper().replace("|", " ")


def ask_everything(client, asking, planted):
    """Every command in several forms; the server says which of the words are keys."""
    for name in names(client.call("COMMAND")):
        if name in UNASKED or name.split()[0] in UNASKED:
            continue
        for form in FORMS:
            words = name.split() + [planted.word() if word == "?" else word for word in form.split()]
            if name in BLOCKING and len(words) > 1:
                words[1 if name in ("BLMPOP", "BZMPOP") else -1] = "0.01"
            found = client.call("COMMAND", "GETKEYS", *words)
            keys = set() if isinstance(found, Error) else {key.decode() for key in found}
            others = planted.ambiguous if isinstance(found, Error) and b"no key arguments" not in found else planted.arguments
            # A number as a key is the same one each time: what is written there may be read there.
            if any(key.isdigit() for key in keys):
                others = planted.values
            for word in words[len(name.split()) :]:
                if len(word) == 14:
                    (planted.keys if word in keys else others).add(word)
            asking.call(*words)


def converse(server, planted):
    """What takes more than one command to go wrong."""
    key, argument, value = planted.key, planted.argument, planted.value
    with server.client() as client, server.client() as other, server.client() as third:
        a, b, stream = key(), key(), key()
        client.call("CLIENT", "SETNAME", argument())
        client.call("SET", a, value())
        client.call("GET", a)
        client.call("MSET", a, value(), b, planted.number())
        client.call("INCR", b)
        planted.values.add(client.call("GET", b).decode())
        client.call("MGET", a, b)
        client.call("GETRANGE", a, 0, -1)
        client.call("APPEND", a, "\0\xff" + value())
        client.call("LPUSH", key(), value())
        client.call("HSET", stream, value(), value())
        client.call("HGETALL", stream)
        # Errors of commands, of scripts, and of what no command is.
        client.call("LPUSH", a, argument())
        client.call(argument(), argument(), key())
        client.call("EVAL", f"return redis.error_reply('{argument()} ' .. ARGV[1])", 1, key(), argument())
        client.call("EVAL", f"return redis.status_reply('{argument()}')", 0)
        client.call("EVAL", "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}", 1, a, argument())
        client.call("SCRIPT", "LOAD", f"return '{argument()}'")
        client.call("ECHO", argument())
        client.call("PING", argument())
        # What names keys.
        for words in (["KEYS", "*"], ["SCAN", "0"], ["RANDOMKEY"], ["COMMAND", "GETKEYS", "SET", key(), argument()],
                      ["OBJECT", "ENCODING", a], ["DEBUG", "OBJECT", a], ["MEMORY", "USAGE", a], ["DBSIZE"],
                      ["CLIENT", "LIST"], ["CLIENT", "GETNAME"], ["CLIENT", "INFO"], ["SLOWLOG", "GET", "1000"],
                      ["ACL", "LOG"], ["INFO", "everything"], ["CONFIG", "GET", "*"], ["MEMORY", "DOCTOR"]):  # fmt: skip
            client.call(*words)
        lists = [key(), key()]
        client.call("RPUSH", lists[1], value(), value(), value())
        client.call("BLPOP", *lists, "0.1")
        client.call("LMPOP", 2, *lists, "LEFT")
        client.call("XADD", key(), "*", argument(), argument())
        events = key()
        client.call("XADD", events, "*", value(), value())
        client.call("XREAD", "COUNT", 10, "STREAMS", events, "0")
        client.call("SET", "weight_" + key(), value())
        client.call("SORT", lists[0], "BY", "weight_*" + key(), "GET", key() + "*")
        # Transactions.
        client.call("WATCH", a)
        client.call("MULTI")
        for words in (["SET", a, value()], ["GET", a], ["LPUSH", a, argument()], ["KEYS", "*"], ["ECHO", argument()]):
            client.call(*words)
        client.call("EXEC")
        client.call("MULTI")
        client.call("SET", a, value())
        client.call("DISCARD")
        # What the server says by itself: messages, notifications, invalidations, lines of MONITOR.
        channel = argument()
        client.call("CONFIG", "SET", "notify-keyspace-events", "KEA")
        other.call("SUBSCRIBE", channel)
        other.call("PSUBSCRIBE", "__key*__:*")
        third.call("HELLO", 3)
        third.call("CLIENT", "TRACKING", "ON")
        third.call("GET", a)
        third.call("SUBSCRIBE", channel)
        with server.client() as monitor:
            monitor.call("MONITOR")
            client.call("PUBLISH", channel, argument())
            client.call("SET", a, value())
            client.call("SET", key(), value())
            for _ in range(3):
                monitor.read()
        for _ in range(5):
            other.read()
        for _ in range(2):
            third.read()
        # Inline commands, answers that are switched off, a large value, and a password among all that.
        client.send(f"SET {key()} '{value()}'\r\nGET {a}\r\n".encode())
        client.read(), client.read()
        client.call("SET", key(), value() * 20_000)
        client.call("AUTH", planted.password())
        client.call("CONFIG", "SET", "masterauth", planted.password())
        client.call("EVAL", "return #ARGV[2]", 0, "requirepass", planted.password())
        client.call("SCRIPT", "LOAD", f"return redis.call('CONFIG', 'SET', 'masterauth', '{planted.password()}')")
        client.send(command("CLIENT", "REPLY", "SKIP") + command("SET", key(), value()))
        # A replica's connection: the snapshot, and a command that the master passes on.
        with server.client() as replica:
            replica.send(b"PSYNC ? -1\r\n")
            assert replica.read().startswith(b"FULLRESYNC")
            passed_on = key()
            client.call("SET", passed_on, value())
            replica.socket.settimeout(10)
            received = b""
            while passed_on.encode() not in received:
                received += replica.socket.recv(1 << 16)


@pytest.fixture
def recording(redis, capture, tmp_path):
    server = redis("--enable-debug-command", "yes", "--slowlog-log-slower-than", "0", "--slowlog-max-len", "10000",
                   "--repl-diskless-sync", "no", "--proto-max-bulk-len", "64mb")  # fmt: skip
    planted = Canaries(11)
    path = tmp_path / "recording.tap"
    live = capture(["--port", server.port, "--buffer", "64M"], [["tee", str(path)], JSON])
    with server.client() as client, server.client() as asking:
        asking.socket.settimeout(10)
        ask_everything(client, asking, planted)
    converse(server, planted)
    live.stop()
    return path, planted


def encoded(path):
    """The frames as they are, each with its kind: decoding them all takes longer than everything else."""
    stream = path.read_bytes()
    position = 0
    while position < len(stream):
        width = {24: 1, 25: 2, 26: 4, 27: 8}.get(stream[position] & 31, 0)
        start = position + 1 + width
        length = int.from_bytes(stream[position + 1 : start], "big") if width else stream[position] & 31
        position = start + length
        # The head of the frame's array stands before its kind.
        yield stream[start + 1], stream[start:position]


def redacted(recording, path, *options, isLossy=False):
    """The output in lower case. Where bytes are lost some of a flow may pass before it is claimed: that is left out."""
    with open(recording, "rb") as stdin, open(path, "wb") as stdout:
        subprocess.run([*RESP, *options], stdin=stdin, stdout=stdout, check=True, timeout=120)
    if not isLossy:
        return path.read_bytes().lower()
    return b"".join(content for kind, content in encoded(path) if kind != DATA).lower()


def found(words, output):
    """Those of the words that are in the output. All are of the same alphabet and length, but for numbers."""
    text = set(re.findall(rb"[a-z]{14,}|[0-9]{14,}", output))
    runs = b" ".join(text)
    return sorted(word for word in words if word.encode() in runs)


MODES = {
    "": ["passwords"],
    "--redact args": ["passwords", "arguments"],
    "--redact values": ["passwords", "arguments", "values"],
    "--redact keys": ["passwords", "keys"],
    "--redact args,keys": ["passwords", "arguments", "keys", "ambiguous"],
    "--redact values --redact keys": ["passwords", "arguments", "values", "keys", "ambiguous"],
    "--hash-keys SALT": ["passwords", "keys"],
    "--hash-keys SALT --redact values": ["passwords", "arguments", "values", "keys", "ambiguous"],
    "--hash-keys SALT --redact values --max-value 4": ["passwords", "arguments", "values", "keys", "ambiguous"],
}


@pytest.mark.live
def test_nothing_that_is_hidden_is_anywhere(recording, tmp_path):
    path, planted = recording
    assert min(map(len, (planted.keys, planted.arguments, planted.values))) > 20 and len(planted.arguments) > 1000
    salt = tmp_path / "salt"
    salt.write_bytes(os.urandom(32))

    # They are all there where nothing is hidden: what is not found later was not just lost.
    everything = redacted(path, tmp_path / "none", "--redact", "none")
    for words in (planted.keys, planted.arguments, planted.values, planted.passwords):
        missing = len(words) - len(found(words, everything))
        assert missing == 0, missing
    assert not any(kind == DATA for kind, _ in encoded(tmp_path / "none"))

    for number, (mode, kinds) in enumerate(MODES.items()):
        options = mode.replace("SALT", str(salt)).split()
        output = redacted(path, tmp_path / f"mode{number}", *options)
        for kind in kinds:
            leaked = found(getattr(planted, kind), output)
            assert not leaked, (mode, kind, len(leaked), context(tmp_path / f"mode{number}", leaked[0]))
        if mode == "--redact values":
            assert len(found(planted.keys, output)) > len(planted.keys) // 2

    generator = random.Random(3)
    lossy = tmp_path / "lossy.tap"
    with open(lossy, "wb") as file:
        for fields in tapwire.frames(path):
            if fields[0] == DATA and generator.random() < 0.05:
                # From somewhere inside of it on.
                kept = generator.randrange(len(fields[5]))
                if kept:
                    file.write(frame(*fields[:5], fields[5][:kept], *fields[6:]))
                fields = [GAP, *fields[1:4], fields[4] + kept, len(fields[5]) - kept, "ring_full"]
            file.write(frame(*fields))
    for mode, kinds in MODES.items():
        output = redacted(lossy, tmp_path / "lossy", *mode.replace("SALT", str(salt)).split(), isLossy=True)
        for kind in kinds:
            leaked = found(getattr(planted, kind), output)
            assert not leaked, (mode, kind, len(leaked), context(tmp_path / "lossy", leaked[0]))


def context(path, word):
    """The first frame that holds a word."""
    for fields in tapwire.frames(path):
        if fields[0] != DATA and word in (text := repr(fields)).lower():
            return text[:400], text[max(0, text.lower().index(word) - 200) :][:500]


def frame(*fields):
    return cbor2.dumps(cbor2.dumps(list(fields)))


def decoded(tmp_path, name, data, replies, *options):
    """The JSON lines of one connection."""
    ends = {"transport": "tcp", "local": ["127.0.0.1", 5000], "remote": ["127.0.0.1", 6379], "role": "client"}
    (tmp_path / name).write_bytes(
        frame(HELLO, 1, "test", 0, "host", "file") + frame(FLOW, 1, None, ends) + frame(DATA, 1, SENT, 1, 0, data)
        + frame(DATA, 1, RECEIVED, 2, 0, replies) + frame(CLOSE, 1, 3, "closed") + frame(END, True, {})
    )  # fmt: skip
    output = run([[*RESP, *options], JSON], tmp_path / f"{name}.out", stdin=tmp_path / name)
    return [json.loads(line) for line in output.splitlines()]


def test_hashes_are_what_anybody_with_the_salt_computes(tmp_path):
    salt = tmp_path / "salt"
    salt.write_bytes(bytes(range(32)))

    def hashed(key):
        return "hash:" + hmac.new(bytes(range(32)), key.encode(), hashlib.sha256).hexdigest()[:32]

    data = command("SET", "user:1", "x") + command("MGET", "user:1", "user:2") + command("EVAL", "code", 1, "user:1", "arg")
    lines = decoded(
        tmp_path, "in", data, b"+OK\r\n*2\r\n$1\r\nx\r\n$-1\r\n$1\r\ny\r\n", "--hash-keys", salt, "--redact", "values"
    )
    one, two = hashed("user:1"), hashed("user:2")
    assert [line["keys"] for line in lines] == [[one], [one, two], [one]]
    assert lines[0]["args"] == [one, {"cut": "", "length": 1}] and lines[1]["args"] == [one, two]
    assert lines[2]["args"] == [{"cut": "", "length": 4}, {"cut": "", "length": 1}, one, {"cut": "", "length": 3}]
    assert [line["response_value"] for line in lines] == ["OK", {"cut": [], "length": 2}, {"cut": "", "length": 1}]
    assert all(line["flags"] == ["redacted"] for line in lines)


def test_what_stays(tmp_path):
    data = command("CONFIG", "SET", "maxmemory", "1") + command("GET", "k") + command("LPUSH", "k", "v") + command("JSON.GET", "x")
    replies = b"+OK\r\n$5\r\nhello\r\n-WRONGTYPE Operation against k\r\n:7\r\n"
    config, get, push, module = decoded(tmp_path, "in", data, replies, "--redact", "values")
    assert (config["command"], config["args"]) == ("CONFIG", ["SET", {"cut": "", "length": 9}, {"cut": "", "length": 1}])
    assert config["response_value"] == "OK"
    assert (get["args"], get["response_type"], get["response_value"]) == (["k"], "bulk_string", {"cut": "", "length": 5})
    assert push["response_value"] == "WRONGTYPE (redacted)"
    assert (module["command"], module["response_type"], module["response_value"]) == ("JSON.GET", "integer", "(redacted)")
    config, get, push, module = decoded(tmp_path, "keys", data, replies, "--redact", "keys")
    assert (get["args"], get["keys"], get["response_value"]) == ([{"cut": "", "length": 1}], {"cut": [], "length": 1}, "hello")


@pytest.mark.parametrize(
    "options,status,expected",
    [
        (["--redact", "all"], 64, "expected args, values, keys or none"),
        (["--redact", "none,keys"], 64, "stands alone"),
        (["--redact", "none", "--hash-keys", "x"], 64, "stands alone"),
        (["--hash-keys", "/nowhere/at/all"], 66, "expected a file that can be read"),
        (["--hash-keys", "/dev/null"], 65, "expected 16 to 4096 bytes, found 0"),
        (["--hash-keys", "/dev/zero"], 65, "found more"),
    ],
)
def test_what_an_option_expects_is_said(options, status, expected):
    said = subprocess.run([*RESP, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert (said.returncode, said.stdout) == (status, "")
    assert said.stderr.startswith("tap-resp: ") and expected in said.stderr
