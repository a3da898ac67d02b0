# An independent reader of TapWire, on cbor2: what the tests believe about a stream does not come from our own library.

import io

import cbor2

HELLO, PROCESS, FLOW, DATA, GAP, CLOSE, EXCHANGE, NOTICE, END, CONNECTION, EXIT, HIDDEN = range(12)
SENT, RECEIVED = 0, 1


def frames(path):
    """The frames of a file as Python lists, in order."""
    with open(path, "rb") as file:
        buffered = io.BufferedReader(file, 1 << 20)
        while True:
            head = buffered.peek(1)
            if not head:
                return
            frame = cbor2.load(buffered)
            assert isinstance(frame, bytes), f"expected a byte string, found {type(frame)}"
            yield cbor2.loads(frame)
