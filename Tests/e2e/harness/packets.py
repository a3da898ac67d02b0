# TCP segments as Python sees them: read from captures (dpkt reads the files), taken apart, put together again otherwise, written.

import ipaddress
import struct
from dataclasses import dataclass, replace

import dpkt

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERNET, NULL, RAW, LOOP, SLL, IPV4, SLL2 = 1, 0, 101, 108, 113, 228, 276


@dataclass(frozen=True)
class Segment:
    time: int  # nanoseconds
    source: tuple  # address as text, port
    destination: tuple
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes = b""
    length: int = -1  # of the payload on the wire, where less was captured
    window: int = 65535
    options: bytes = b""

    @property
    def wire_length(self):
        return len(self.payload) if self.length < 0 else self.length

    def ip(self, identification=0):
        """The IPv4 or IPv6 packet."""
        options = self.options + bytes(-len(self.options) % 4)
        tcp = struct.pack(
            ">HHIIBBHHH", self.source[1], self.destination[1], self.sequence % 2**32, self.acknowledgement % 2**32,
            (20 + len(options)) << 2, self.flags, self.window, 0, 0,
        )  # fmt: skip
        tcp += options + self.payload
        source, destination = (ipaddress.ip_address(end[0]) for end in (self.source, self.destination))
        if source.version == 6:
            return struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + source.packed + destination.packed + tcp
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), identification, 0, 64, 6, 0)
        return head + source.packed + destination.packed + tcp


# Writing


def framed(packet, link, tags=()):
    """An IP packet in a frame of a link type; `tags` are the types of VLAN tags before it."""
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    family = 30 if kind == 0x86DD else 2
    inner = b"".join(struct.pack(">HH", tag, 7 + index) for index, tag in enumerate(tags)) + struct.pack(">H", kind)
    if link == ETHERNET:
        return bytes(12) + inner + packet
    if link == SLL:
        return struct.pack(">HHH8s", 0, 1, 6, bytes(8)) + inner + packet
    if link == SLL2:
        protocol, rest = inner[:2], inner[2:]
        return protocol + struct.pack(">HIHBB8s", 0, 1, 1, 0, 6, bytes(8)) + rest + packet
    if link == NULL:
        return struct.pack("<I", family) + packet
    if link == LOOP:
        return struct.pack(">I", family) + packet
    return packet


def fragments(packet, size):
    """An IPv4 packet in fragments of at most `size` bytes of payload, a multiple of 8."""
    head, payload = packet[:20], packet[20:]
    for offset in range(0, len(payload), size):
        part = payload[offset : offset + size]
        more = 0x2000 if offset + size < len(payload) else 0
        yield head[:2] + struct.pack(">H2sH", 20 + len(part), head[4:6], more | offset >> 3) + head[8:] + part


def pcap(frames, link, order="<", nanoseconds=False, snap=262144):
    """A pcap file; each frame is (nanoseconds, bytes)."""
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for time, frame in frames:
        kept = frame[:snap]
        out.append(struct.pack(order + "IIII", time // 10**9, time % 10**9 // unit, len(kept), len(frame)) + kept)
    return b"".join(out)


def _block(order, kind, body):
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def _option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def pcapng(frames, link, order="<", interfaces=1, links=None, processes=()):
    """A pcapng file; each frame is (nanoseconds, bytes), with comments, flags, and the number of one of the processes,
    (pid, name), if there are any."""
    out = [_block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for index in range(interfaces):
        kind = (links or [link] * interfaces)[index]
        body = struct.pack(order + "HHI", kind, 0, 262144) + _option(order, 9, b"\x09") + _option(order, 0, b"")
        out.append(_block(order, 1, body))
    for pid, name in processes:
        options = _option(order, 2, name.encode()) + _option(order, 4, bytes(16)) + _option(order, 0, b"")
        out.append(_block(order, 0x80000001, struct.pack(order + "I", pid) + options))
    for number, (time, frame, *said) in enumerate(frames):
        body = struct.pack(order + "IIIII", number % interfaces, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
        body += frame + bytes(-len(frame) % 4)
        if said:
            comments, flags, *process = said
            for comment in comments:
                body += _option(order, 1, comment.encode())
            if flags is not None:
                body += _option(order, 2, struct.pack(order + "I", flags))
            for index in process:
                body += _option(order, 0x8001, struct.pack(order + "I", index))
            body += _option(order, 0, b"")
        out.append(_block(order, 6, body))
        if number % 7 == 0:  # a block that nobody knows
            out.append(_block(order, 0x40000BAD, bytes(8)))
    return b"".join(out)


# Reading


def read(path):
    """The TCP segments of a capture whose frames are whole, in the order of the file."""
    with open(path, "rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        link = reader.datalink()
        for time, frame in reader:
            packet = _network(frame, link)
            segment = packet and _segment(packet, round(float(time) * 1e9))
            if segment:
                yield segment


def _network(frame, link):
    if link == ETHERNET:
        position = 12
    elif link == SLL:
        position = 14
    else:
        return {RAW: frame, 12: frame, IPV4: frame, NULL: frame[4:], LOOP: frame[4:]}.get(link)
    while frame[position : position + 2] in (b"\x81\x00", b"\x88\xa8"):
        position += 4
    return frame[position + 2 :] if frame[position : position + 2] in (b"\x08\x00", b"\x86\xdd") else None


def _segment(packet, time):
    if packet[0] >> 4 == 4:
        total = struct.unpack(">H", packet[2:4])[0] or len(packet)
        head = (packet[0] & 15) * 4
        assert not struct.unpack(">H", packet[6:8])[0] & 0x3FFF, "fragments are not for this reader"
        kind, addresses = packet[9], (packet[12:16], packet[16:20])
    else:
        total, head, kind = 40 + struct.unpack(">H", packet[4:6])[0], 40, packet[6]
        addresses = packet[8:24], packet[24:40]
    if kind != 6:
        return None
    tcp = packet[head:total]
    source, destination, sequence, acknowledgement, offset, flags, window = struct.unpack(">HHIIBBH", tcp[:16])
    start = (offset >> 4) * 4
    names = [str(ipaddress.ip_address(address)) for address in addresses]
    return Segment(
        time, (names[0], source), (names[1], destination), sequence, acknowledgement, flags, tcp[start:],
        total - head - start, window, tcp[20:start],
    )  # fmt: skip


# Putting together


def connections(segments):
    """(client, server, {0: bytes sent by the client, 1: by the server}) of each connection, None where one is missing.

    Everything is known before anything is put together: no waiting, no order, no state to get wrong.
    """
    groups, current = [], {}
    for segment in segments:
        key = frozenset((segment.source, segment.destination))
        group = current.get(key)
        opens = segment.flags & SYN and not segment.flags & ACK
        if group is None or (opens and any(s.flags & SYN and s.source == segment.source and s.sequence != segment.sequence for s in group)):
            if not (segment.flags & SYN or segment.wire_length) or segment.flags & RST:
                continue
            group = current[key] = []
            groups.append(group)
        group.append(segment)
    for group in groups:
        first = next((s for s in group if s.flags & SYN), None)
        if first:
            client, server = first.source, first.destination
            if first.flags & ACK:
                client, server = server, client
        else:
            client, server = sorted((group[0].source, group[0].destination), key=lambda end: -end[1])
        yield client, server, {0: _stream(group, client, server), 1: _stream(group, server, client)}


def _window(group, sender, receiver):
    """The largest window that the receiver announced; as much as TCP has where it is not in the file."""
    openings = {s.source: _shift(s.options) for s in group if s.flags & SYN}
    scaled = all(openings.get(end, 0) is not None for end in (sender, receiver))
    shift = (openings.get(receiver, 14) if scaled else 0) or 0
    told = [s.window << (0 if s.flags & SYN else shift) for s in group if s.source == receiver and s.flags & ACK]
    return min(max(told, default=2**30), 2**30)


def _shift(options):
    position = 0
    while position < len(options) and options[position]:
        if options[position] == 3:
            return options[position + 2]
        position += 1 if options[position] == 1 else max(2, options[position + 1])
    return None


def _distance(number, position, begin):
    """The position of a sequence number, the one nearest to a position."""
    return position + ((number - begin - position + 2**31) % 2**32 - 2**31)


def _reach(group, sender, receiver, begin):
    """How far the sender has come: a segment or an acknowledgement beyond the window counts only where the other end agrees."""
    window = _window(group, sender, receiver)
    sent = [((s.sequence + bool(s.flags & SYN)), s.wire_length) for s in group if s.source == sender and not s.flags & RST]
    received = [s.acknowledgement for s in group if s.source == receiver and s.flags & ACK]
    reach, before = 0, None
    while reach != before:
        before = reach
        starts = [(_distance(number, reach, begin), length) for number, length in sent]
        acknowledged = [_distance(number, reach, begin) for number in received]
        reach = max([reach, *(start + length for start, length in starts if start <= reach + window)])
        reach = max([reach, *(number for number in acknowledged if number <= reach + window)])
        if reach == before:
            far = [start for start, _ in starts if start > reach + window]
            agreed = [start for start in far for number in acknowledged if reach < number and abs(number - start) <= window]
            reach = min(agreed, default=reach)
    return reach, reach + window


def _stream(group, sender, receiver):
    own = [s for s in group if s.source == sender and not s.flags & RST]
    syn = next((s for s in own if s.flags & SYN), None)
    peer_opens = any(s.flags & SYN for s in group)
    acknowledgements = [s.acknowledgement for s in group if s.source == receiver and s.flags & ACK]
    bearing = [(s.sequence + (1 if s.flags & SYN else 0), s) for s in own if s.wire_length or s.flags & FIN]
    if syn:
        begin = syn.sequence + 1
    elif peer_opens and acknowledgements:
        begin = acknowledgements[0]
    elif bearing:
        near = bearing[0][0]
        begin = near + min((sequence - near + 2**31) % 2**32 - 2**31 for sequence, _ in bearing)
    else:
        return b""
    reach, limit = _reach(group, sender, receiver, begin)
    content, position, end = {}, 0, None
    for sequence, segment in bearing:
        start = _distance(sequence, position, begin)
        if start > limit:
            continue
        for index, byte in enumerate(segment.payload):
            if start + index >= 0:
                content.setdefault(start + index, byte)
        position = max(position, start + segment.wire_length)
        if segment.flags & FIN:
            end = start + segment.wire_length
    position = max(position, reach)
    for segment in group:
        if segment.flags & RST and segment.source == sender and (syn or bearing):
            reset = _distance(segment.sequence, position, begin)
            position = reset if position < reset <= limit else position
    position = min(position, end) if end is not None else position
    return [content.get(index) for index in range(position)]


def shifted(segments, client, server):
    """The same conversation with sequence numbers that begin `client` and `server` further on."""
    openers = {}
    for segment in segments:
        key = frozenset((segment.source, segment.destination))
        opener = openers.setdefault(key, segment.source)
        own, other = (client, server) if segment.source == opener else (server, client)
        yield replace(
            segment, sequence=segment.sequence + own,
            acknowledgement=segment.acknowledgement + other if segment.flags & ACK else 0,
        )  # fmt: skip
