# A reader that does not read while bytes move: what is missing afterwards, and whether it is told to the byte.

import os
import signal
import subprocess
import threading
import time

from .pipeline import ENGINE, tool
from .streams import Missing, Recording


def transfer(pair, total, generator):
    """Sends from one end to the other and returns the bytes."""
    client, server = pair
    data = generator.randbytes(total)
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    received = bytearray()
    while len(received) < total:
        received += server.recv(1 << 18)
    sender.join()
    assert received == data
    return data


def agrees(runs, data):
    """Every captured byte is right and stands at its place; what is missing is a gap."""
    position = 0
    for run in runs:
        if not isinstance(run, Missing):
            assert run == data[position : position + len(run)]
        position += run.length if isinstance(run, Missing) else len(run)
    return position == len(data)


class Stalled:
    """A capture whose reader begins to read only when told."""

    def __init__(self, directory, options):
        self.path = os.path.join(directory, "late.tap")
        self.errors = os.path.join(directory, "stderr")
        engine = ["--engine", ENGINE] if ENGINE else []
        self.process = subprocess.Popen(
            [tool("tap-capture"), *engine, *map(str, options)], stdout=subprocess.PIPE, stderr=open(self.errors, "wb")
        )
        deadline = time.monotonic() + 20
        while "ready" not in open(self.errors).read():
            assert time.monotonic() < deadline and self.process.poll() is None, open(self.errors).read()
            time.sleep(0.01)

    def read(self):
        """Lets the reader go on; returns the recording."""
        with open(self.path, "wb") as file:
            # The descriptor is handed over, so that this process is no stage of the pipeline.
            reader = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=file)
        self.process.stdout.close()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0 and reader.wait(60) == 0
        return Recording(self.path)
