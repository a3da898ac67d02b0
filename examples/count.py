#!/usr/bin/env python3
"""A stage of one's own: forwards every TapWire frame unchanged and counts them by kind on stderr at the end.

    tap-capture | examples/count.py | tap-resp | tap-fmt        (needs cbor2; docs/tapwire.md is the format)
"""
import collections, os, select, signal, stat, sys
import cbor2

KINDS = ["hello", "process", "flow", "data", "gap", "close", "exchange", "notice", "end",
         "connection", "exit", "hidden"]
counts = collections.Counter()
output = bytearray()


class Malformed(Exception):
    pass


def frame_length(head):
    """Bytes of the frame that begins with `head`: a byte string's head and its content. None if `head` is too short."""
    if not head:
        return None
    major, info = head[0] >> 5, head[0] & 31
    if major != 2 or info > 27:
        raise Malformed(f"expected a byte string, found initial byte 0x{head[0]:x}")
    width = 0 if info < 24 else 1 << (info - 24)
    if len(head) < 1 + width:
        return None
    length = int.from_bytes(head[1 : 1 + width], "big") if width else info
    if length > 16 << 20:
        raise Malformed(f"expected a frame of at most 16 MiB, found {length} bytes")
    return 1 + width + length


def receive(encoded):
    """One frame. Here is the place for what a stage wants to do with it."""
    try:
        kind, *fields = cbor2.loads(cbor2.loads(encoded))
        name = KINDS[kind] if 0 <= kind < len(KINDS) else f"of kind {kind}"
        if name == "data":
            counts["bytes of data"] += len(fields[4])
        elif name == "gap":
            counts["bytes in gaps"] += fields[4]
    except (cbor2.CBORDecodeError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise Malformed(f"expected a frame [kind, …], found {error}") from None
    counts[name] += 1
    output.extend(encoded)


def flush():
    while output:
        del output[: os.write(1, output)]


def run():
    buffer, offset = bytearray(), 0
    try:
        while chunk := os.read(0, 1 << 18):
            buffer += chunk
            start = 0
            while (length := frame_length(buffer[start : start + 9])) and start + length <= len(buffer):
                receive(bytes(buffer[start : start + length]))
                start, offset = start + length, offset + length
            del buffer[:start]
            # What is ready goes out before we wait for more.
            if len(output) > 65536 or not select.select([0], [], [], 0)[0]:
                flush()
        if buffer:
            raise Malformed("expected a whole frame, found the end of the input")
    except Malformed as error:
        # What came before is good. The next stage sees that the end frame is missing.
        flush()
        print(f"count.py: malformed TapWire at byte {offset}: {error}", file=sys.stderr)
        return 65
    flush()
    return 0


stdin_mode = os.fstat(0).st_mode
if (stat.S_ISFIFO(stdin_mode) or stat.S_ISSOCK(stdin_mode)) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # Ctrl-C reaches every stage: the capture ends the stream, and we read on to its end. A second one ends us.
    signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.SIG_DFL))
try:
    status = run()
except BrokenPipeError:
    status = 0  # Nobody is left to work for.
print("count.py:", ", ".join(f"{value} {name}" for name, value in counts.items()) or "no frames", file=sys.stderr)
sys.exit(status)
