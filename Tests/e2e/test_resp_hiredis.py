# Random replies of every type that hiredis knows: the decoder and hiredis make the same trees of the same bytes.
# It knows no bulk errors, no streamed types, and neither attributes nor pushes inside of aggregates: resp.jsonl has these.

import os
import random
import struct

import cbor2

from harness.pipeline import RESP, run
from harness.resp import command
from harness.tapwire import CLOSE, CONNECTION, DATA, END, FLOW, HELLO, RECEIVED, SENT
from harness.trees import HiredisReader, exchange_tree, head, item_end, tree

VALUES = int(os.environ.get("TAP_VALUES", 100_000))
BATCH = 1000


def frame(*fields):
    return cbor2.dumps(cbor2.dumps(list(fields)))


class Values:
    """Writes random values as a server would."""

    def __init__(self, rng):
        self.rng = rng

    def content(self):
        rng = self.rng
        kind = rng.randrange(40)
        if kind == 0:
            return rng.randbytes(rng.choice([255, 256, 4095, 16_384, 65_535, 65_536, 100_000]))
        if kind < 10:
            return rng.randbytes(rng.randrange(40))
        if kind < 14:
            return ("ß→😀" * 9).encode()[: rng.randrange(60)]
        if kind < 20:
            return rng.choice([b"", b"\r\n", b"$3\r\nabc\r\n", b"*1\r\n", b"+OK\r\n", b"\0", b"OK", b"-1"])
        return b"value:%d" % rng.randrange(1 << rng.randrange(1, 40))

    def line(self):
        return self.content()[:1000].replace(b"\r", b" ").replace(b"\n", b" ")

    def bulk(self, mark, content):
        return b"%s%d\r\n%s\r\n" % (mark, len(content), content)

    def scalar(self):
        rng = self.rng
        kind = rng.randrange(13)
        if kind < 4:
            return self.bulk(b"$", self.content())
        if kind == 4:
            return b"+%s\r\n" % self.line()
        if kind == 5:
            return b"-%s\r\n" % self.line()
        if kind in (6, 7):
            bits = rng.randrange(1, 64)
            return b":%d\r\n" % rng.randrange(-(1 << bits), 1 << bits)
        if kind == 8:
            return rng.choice([b"_\r\n", b"$-1\r\n", b"*-1\r\n", b"#t\r\n", b"#f\r\n"])
        if kind == 9:
            special = ["inf", "-inf", "nan", "0", "-0", "1e300", "1.5e-7", "10"]
            any_ = repr(struct.unpack(">f", rng.randbytes(4))[0])
            return b",%s\r\n" % rng.choice([*special, any_, repr(rng.random())]).encode()
        if kind == 10:
            edges = [2**63, 2**64, -(2**64), -(2**64) - 1, 7]
            return b"(%d\r\n" % rng.choice([rng.randrange(-(1 << 300), 1 << 300), *edges])
        return self.bulk(b"=", rng.choice([b"txt:", b"mkd:"]) + self.content())

    def value(self, depth=0):
        rng = self.rng
        kind = rng.randrange(12)
        if kind > 2 or depth == 6:
            return self.scalar()
        count = rng.choice([0, 1, 2, 3, rng.randrange(20)]) if depth < 2 else rng.randrange(3)
        if kind == 0:
            return b"*%d\r\n" % count + b"".join(self.value(depth + 1) for _ in range(count))
        if kind == 1:
            return b"~%d\r\n" % count + b"".join(self.value(depth + 1) for _ in range(count))
        return b"%%%d\r\n" % count + b"".join(self.value(depth + 1) for _ in range(2 * count))

    def message(self):
        """What a server sends at once: (bytes, whether it is a push, which answers nothing)."""
        kind = self.rng.randrange(30)
        if kind == 0:
            return b">3\r\n$7\r\nmessage\r\n" + self.value(1) + self.value(1), True
        if kind == 1:
            return b"|1\r\n+ttl\r\n:%d\r\n" % self.rng.randrange(9999) + self.value(), False
        return self.value(), False

    def pieces(self, data):
        """The bytes, cut anywhere."""
        position = 0
        while position < len(data):
            length = self.rng.randrange(1, self.rng.choice([3, 30, 500, 20_000, 200_000]))
            yield data[position : position + length]
            position += length


def exchanges(path):
    """(whether there is a request, response type, value, attributes) of each exchange, in order, and nothing else."""
    with open(path, "rb") as file:
        data = file.read()
    position = 0
    while position < len(data):
        _, length, start = head(data, position)
        position = start + length
        body = data[start:position]
        if body[1] != 6:
            assert body[1] in (HELLO, FLOW, CLOSE, END, CONNECTION), body
            continue
        # [6, flow, start, end, protocol, request, response, flags, …]
        at = 2
        fields = []
        for _ in range(7):
            end = item_end(body, at)
            fields.append(body[at:end])
            at = end
        flags = cbor2.loads(fields[6])
        assert flags == ([] if fields[4] != b"\xf6" else ["push"]), flags
        yield fields[4] != b"\xf6", *response(fields[5])


def response(item):
    _, count, at = head(item, 0)
    members = {}
    for _ in range(count):
        end = item_end(item, at)
        name = cbor2.loads(item[at:end])
        at = item_end(item, end)
        members[name] = item[end:at]
    form = members.get("response_format")
    found = exchange_tree(
        cbor2.loads(members["response_type"]), members["response_value"], form and cbor2.loads(form).encode()
    )
    return found, tree(members["attributes"]) if "attributes" in members else None


def test_the_trees_of_hiredis(tmp_path):
    seed = int(os.environ.get("TAP_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"TAP_SEED={seed}")
    rng = random.Random(seed)
    values = Values(rng)
    reader = HiredisReader()
    expected = []
    offsets = [0, 0]
    with open(tmp_path / "in.tap", "wb") as file:
        file.write(frame(HELLO, 1, "test", 0, "host", "file"))
        ends = {"transport": "tcp", "local": ["127.0.0.1", 5000], "remote": ["127.0.0.1", 6379], "role": "client"}
        file.write(frame(FLOW, 1, None, ends))

        def write(direction, data):
            file.write(frame(DATA, 1, direction, 10**13, offsets[direction], data))
            offsets[direction] += len(data)

        for _ in range(VALUES // BATCH):
            messages = [values.message() for _ in range(BATCH)]
            write(SENT, command("MODULE.ANY") * sum(not is_push for _, is_push in messages))
            data = b"".join(message for message, _ in messages)
            for piece in values.pieces(data):
                write(RECEIVED, piece)
            for piece in values.pieces(data):
                expected.extend(reader.read(piece))
        file.write(frame(CLOSE, 1, 10**13, "closed") + frame(END, True, {}))
    reader.close()
    run([RESP], tmp_path, stdin=tmp_path / "in.tap")
    wanted = iter(expected)
    count = 0
    for has_request, found, attributes in exchanges(tmp_path / "output"):
        if attributes is not None:
            # hiredis hands them out as a value of their own.
            assert ("attribute", attributes[1]) == next(wanted), count
        theirs = next(wanted)
        assert found == theirs, (count, str(found)[:500], str(theirs)[:500])
        assert has_request == (theirs[0] != "push")
        count += 1
    assert count == VALUES and next(wanted, None) is None
