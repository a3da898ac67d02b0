# Streams put together again from the frames of a recording, for comparison with what was really moved.

from dataclasses import dataclass, field

from . import tapwire
from .tapwire import DATA, END, EXIT, FLOW, GAP, NOTICE, PROCESS, RECEIVED, SENT


@dataclass(frozen=True)
class Missing:
    """Bytes that a gap frame tells of."""

    length: int
    reason: str


@dataclass
class Flow:
    id: int
    local: tuple
    remote: tuple
    role: str
    preexisting: bool
    process: int
    transport: str = "tcp"
    peer_pid: int = None
    opened: int = None
    interleaved: bool = False
    # Per direction: runs of bytes and of missing bytes, in order.
    runs: dict = field(default_factory=lambda: {SENT: [], RECEIVED: []})
    length: dict = field(default_factory=lambda: {SENT: 0, RECEIVED: 0})
    users: set = field(default_factory=set)
    close: str = None
    closed: int = None

    def add(self, direction, offset, run):
        assert offset == self.length[direction], f"flow {self.id}: expected offset {self.length[direction]}, not {offset}"
        runs = self.runs[direction]
        if isinstance(run, Missing):
            self.length[direction] += run.length
            last = runs[-1] if runs else None
            if isinstance(last, Missing) and last.reason == run.reason:
                runs[-1] = Missing(last.length + run.length, run.reason)
            else:
                runs.append(run)
            return
        self.length[direction] += len(run)
        if runs and isinstance(runs[-1], bytearray):
            runs[-1] += run
        else:
            runs.append(bytearray(run))

    @property
    def captured_bytes(self):
        return sum(len(run) for runs in self.runs.values() for run in runs if not isinstance(run, Missing))

    @property
    def missing_bytes(self):
        return sum(run.length for runs in self.runs.values() for run in runs if isinstance(run, Missing))

    def bytes(self, direction):
        """All bytes of a direction, which must have no gap."""
        assert all(not isinstance(run, Missing) for run in self.runs[direction]), self.runs[direction]
        return b"".join(bytes(run) for run in self.runs[direction])


def address(told):
    """(host, port) of TCP, (path, None) of a unix socket."""
    return tuple(told) if isinstance(told, list) else (told, None)


class Recording:
    """What a recording of one capture says."""

    def __init__(self, path):
        self.flows, self.processes, self.notices, self.totals = {}, {}, [], None
        self.exits = []
        for kind, *fields in tapwire.frames(path):
            if kind == PROCESS:
                self.processes[fields[0]] = fields[1]
            elif kind == EXIT:
                self.exits.append(fields[0])
            elif kind == FLOW:
                id, process, about = fields
                if id not in self.flows:
                    self.flows[id] = Flow(
                        id, address(about["local"]), address(about["remote"]), about["role"],
                        about.get("preexisting", False), process, about["transport"], about.get("peer_pid"),
                        about.get("opened"),
                    )  # fmt: skip
                # A flow may be described again with more in it.
                self.flows[id].interleaved = about.get("interleaved", False)
            elif kind == DATA:
                flow, direction, _, offset, data, *process = fields
                self.flows[flow].add(direction, offset, data)
                self.flows[flow].users.add(process[0] if process else self.flows[flow].process)
            elif kind == GAP:
                flow, direction, _, offset, length, reason = fields
                self.flows[flow].add(direction, offset, Missing(length, reason))
            elif kind == tapwire.CLOSE:
                flow = self.flows[fields[0]]
                assert flow.close is None, f"flow {flow.id} is closed twice"
                flow.closed, flow.close = fields[1:3]
            elif kind == NOTICE:
                self.notices.append(fields)
            elif kind == END:
                assert fields[0] is True
                self.totals = fields[1]
        assert self.totals is not None, "the stream has no end frame"
        data = sum(flow.captured_bytes for flow in self.flows.values())
        gaps = sum(flow.missing_bytes for flow in self.flows.values())
        assert self.totals["data_bytes"] == data
        assert sum(value for name, value in self.totals.items() if name.startswith("gap_bytes_")) == gaps

    def flow(self, local_port, remote_port=None):
        """The one flow with these ports."""
        found = [
            flow
            for flow in self.flows.values()
            if flow.local[1] == local_port and remote_port in (None, flow.remote[1])
        ]
        assert len(found) == 1, f"{len(found)} flows with local port {local_port}: {found}"
        return found[0]

    def process_of(self, flow):
        return self.processes[flow.process]
