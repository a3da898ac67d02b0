# tap-capture --read: whatever happened to the packets of a conversation, its bytes come out, and what is missing is a gap.

import glob
import json
import os
import random
import signal
import struct
import subprocess
import time
from dataclasses import replace
from itertools import zip_longest

import cbor2
import pytest

from harness import packets, tapwire
from harness.cddl import Grammar
from harness.packets import ACK, ETHERNET, FIN, LOOP, NULL, PSH, RAW, RST, SLL, SLL2, SYN, Segment
from harness.pipeline import JSON, RESP, ROOT, run, tool
from harness.streams import Missing, Recording

CORPUS = os.path.join(ROOT, "..", "shared", "corpus")
SEED = int(os.environ.get("TAP_SEED", random.SystemRandom().randrange(2**32)))
SECOND = 10**9
# No capture needs more than 64 MiB, and the kernel sees to it; the program's own data takes 37 MiB of addresses beside that,
# nearly all of it never touched.
MEMORY = 101 << 20


@pytest.fixture
def seeded():
    print(f"TAP_SEED={SEED}")
    return random.Random(SEED)


def read(content, tmp_path, *options, status=0):
    """What tap-capture makes of a file: the path of the recording, and what it said."""
    source, target = tmp_path / "packets", tmp_path / "recording.tap"
    source.write_bytes(content)
    with open(target, "wb") as output:
        ran = subprocess.run(
            ["prlimit", f"--data={MEMORY}", tool("tap-capture"), "--read", source, *options], stdout=output,
            stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert ran.returncode == status, ran.stderr
    return target, ran.stderr


def flows(recording):
    """The streams of each pair of ends, in order, None for each missing byte."""
    found = {}
    for flow in Recording(recording).flows.values():
        streams = {}
        for direction, runs in flow.runs.items():
            streams[direction] = []
            for run in runs:
                streams[direction] += [None] * run.length if isinstance(run, Missing) else run
        found.setdefault((flow.local, flow.remote), []).append(streams)
    return found


def expected(segments):
    found = {}
    for client, server, streams in packets.connections(segments):
        found.setdefault((client, server), []).append({way: list(stream) for way, stream in streams.items()})
    return found


def check(content, segments, tmp_path):
    """The recording of a file has exactly the streams of these segments."""
    target, said = read(content, tmp_path)
    assert said == ""
    found, wanted = flows(target), expected(segments)
    assert found.keys() == wanted.keys()
    for ends, streams in wanted.items():
        assert len(found[ends]) == len(streams), ends
        for seen, stream in zip(found[ends], streams):
            for way in (0, 1):
                assert difference(seen[way], stream[way]) is None, (ends, way)
    return Recording(target)


def difference(found, wanted):
    """Where two streams differ first, and what is there; nothing prints 100,000 bytes when a test fails."""
    for position, (one, other) in enumerate(zip_longest(found, wanted, fillvalue="end")):
        if one != other:
            return position, one, other, len(found), len(wanted)
    return None


# Conversations


def conversation(seeded, client=("10.0.0.1", 40000), server=("10.0.0.2", 6379), turns=40, largest=4000, time=0):
    """A whole connection, each byte acknowledged in its turn."""
    numbers = {client: seeded.randrange(2**32), server: seeded.randrange(2**32)}
    time += 1_700_000_000 * SECOND

    def step(sender, flags, payload=b""):
        nonlocal time
        receiver = server if sender == client else client
        time += 50_000
        acknowledged = numbers[receiver] if flags & ACK else 0
        segment = Segment(time, sender, receiver, numbers[sender] % 2**32, acknowledged % 2**32, flags, payload)
        numbers[sender] += len(payload) + bool(flags & (SYN | FIN))
        return segment

    out = [step(client, SYN), step(server, SYN | ACK), step(client, ACK)]
    for _ in range(turns):
        for sender in (client, server):
            data = seeded.randbytes(seeded.randint(1, largest))
            out += [step(sender, ACK | PSH, data[at : at + 1448]) for at in range(0, len(data), 1448)]
    return out + [step(client, FIN | ACK), step(server, FIN | ACK), step(client, ACK)]


def conversations(seeded):
    """Three at once: IPv4, IPv6, and one whose sequence numbers wrap."""
    first = conversation(seeded)
    second = conversation(seeded, ("2001:db8::1", 50001), ("2001:db8::2", 7000), turns=10)
    third = conversation(seeded, ("10.0.0.1", 40002), turns=10)
    begin = {third[0].source: third[0].sequence, third[1].source: third[1].sequence}
    client, server = (2**32 - 5000 - begin[end] for end in (third[0].source, third[1].source))
    wrapped = [replace(s, sequence=s.sequence % 2**32) for s in packets.shifted(third, client, server)]
    return sorted([*first, *second, *wrapped], key=lambda segment: segment.time)


def file_of(segments, link=ETHERNET, tags=(), **options):
    frames = [(s.time, packets.framed(s.ip(number & 0xFFFF), link, tags)) for number, s in enumerate(segments)]
    return packets.pcap(frames, link, **options)


def swapped(segments, seeded, distance=8):
    """Each a little earlier or later in the file, and none long behind its acknowledgement."""
    order = sorted(range(len(segments)), key=lambda index: index + seeded.uniform(0, distance))
    return [replace(segments[index], time=segments[0].time + place * 50_000) for place, index in enumerate(order)]


@pytest.mark.parametrize(
    "link, tags",
    [
        (ETHERNET, ()), (ETHERNET, (0x8100,)), (ETHERNET, (0x88A8, 0x8100)), (ETHERNET, (0x9100, 0x8100, 0x8100)), (SLL, ()),
        (SLL, (0x8100,)), (SLL2, ()), (RAW, ()), (NULL, ()), (LOOP, ()),
    ],
)  # fmt: skip
def test_every_link_type_carries_the_same_bytes(link, tags, seeded, tmp_path):
    segments = conversations(seeded)
    check(file_of(segments, link, tags), segments, tmp_path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("form", ["pcap", "nanoseconds", "pcapng", "interfaces"])
def test_every_file_format_carries_the_same_bytes_and_times(form, order, seeded, tmp_path):
    segments = conversations(seeded)
    frames = [(s.time, packets.framed(s.ip(), ETHERNET)) for s in segments]
    content = {
        "pcap": lambda: packets.pcap(frames, ETHERNET, order),
        "nanoseconds": lambda: packets.pcap(frames, ETHERNET, order, nanoseconds=True),
        "pcapng": lambda: packets.pcapng(frames, ETHERNET, order),
        "interfaces": lambda: packets.pcapng(frames, ETHERNET, order, interfaces=3),
    }[form]()
    check(content, segments, tmp_path)
    times = [fields[2] for kind, *fields in tapwire.frames(tmp_path / "recording.tap") if kind == tapwire.DATA]
    assert times == [segment.time for segment in segments if segment.payload]


def test_stdin_is_read_as_it_comes(seeded, tmp_path):
    segments = conversation(seeded, turns=3)
    content = file_of(segments)
    process = subprocess.Popen([tool("tap-capture"), "-r", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdin.write(content[:-100])
        process.stdin.flush()
        # What has come goes out although the pipe stays open and 64 KiB are not together.
        first = os.read(process.stdout.fileno(), 1 << 20)
        assert segments[3].payload in first
        rest, _ = process.communicate(content[-100:], timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
    (tmp_path / "joined").write_bytes(first + rest)
    assert flows(tmp_path / "joined") == expected(segments)


# What networks and captures do to segments


def test_reordered(seeded, tmp_path):
    segments = swapped(conversations(seeded), seeded)
    recording = check(file_of(segments), segments, tmp_path)
    assert not any(flow.preexisting for flow in recording.flows.values())


def test_duplicated(seeded, tmp_path):
    segments = [copy for s in conversations(seeded) for copy in [s] * seeded.choice([1, 1, 2, 3])]
    recording = check(file_of(swapped(segments, seeded)), segments, tmp_path)
    sent = sum(len(s.payload) for s in segments)
    assert recording.totals["repeated_bytes"] + recording.totals["data_bytes"] == sent


def cut_up(segments, seeded):
    """Every payload in other pieces than it was sent in, which overlap."""
    for segment in segments:
        position = 0
        while position < len(segment.payload):
            start = max(0, position - seeded.choice([0, 0, 1, 50]))
            end = min(len(segment.payload), position + seeded.randint(1, 700))
            is_last = end == len(segment.payload)
            yield replace(
                segment, sequence=(segment.sequence + start) % 2**32, payload=segment.payload[start:end],
                flags=segment.flags if is_last else segment.flags & ~FIN,
            )  # fmt: skip
            position = end
        if not segment.payload:
            yield segment


def test_overlapping(seeded, tmp_path):
    segments = swapped(list(cut_up(conversations(seeded), seeded)), seeded)
    recording = check(file_of(segments), segments, tmp_path)
    assert recording.notices == []


def test_contradicting_overlaps_are_said(seeded, tmp_path):
    segments = conversation(seeded, turns=1, largest=1000)
    first = next(s for s in segments if s.payload)
    at = segments.index(first)
    # The second half waits for the first, when another second half comes.
    half = len(first.payload) // 2
    later = replace(first, sequence=(first.sequence + half) % 2**32, payload=first.payload[half:])
    other = replace(later, payload=bytes(byte ^ 1 for byte in later.payload))
    recording = check(file_of(segments[:at] + [later, other] + segments[at:]), segments, tmp_path)
    [(_, severity, _, text, counters)] = recording.notices
    assert (severity, counters) == ("warning", {"segments": 1, "flows": 1, "first_flow": 1})
    assert "overlap" in text


@pytest.mark.parametrize("acknowledged", [True, False])
def test_lost(acknowledged, seeded, tmp_path):
    segments = conversations(seeded)
    kept = [s for s in segments if not s.payload or seeded.random() > 0.1]
    if not acknowledged:
        kept = [replace(s, flags=s.flags & ~ACK) if s.payload else s for s in kept]
    recording = check(file_of(kept), kept, tmp_path)
    lost = sum(len(s.payload) for s in segments) - sum(len(s.payload) for s in kept)
    assert lost > 0
    assert recording.totals["gap_bytes_not_captured"] == lost


def test_what_was_acknowledged_and_never_captured_is_a_gap_soon(seeded, tmp_path):
    """The gap stands before the replies that come later, not at the end."""
    segments = conversation(seeded)
    lost = next(s for s in segments[20:] if s.payload and s.source == segments[0].source)
    target, _ = read(file_of([s for s in segments if s is not lost]), tmp_path)
    kinds = [kind for kind, *_ in tapwire.frames(target)]
    assert kinds.index(tapwire.GAP) < len(kinds) - 20


@pytest.mark.parametrize("snap", [60, 68, 100, 1000])
def test_cut_by_the_snap_length(snap, seeded, tmp_path):
    segments = conversation(seeded, turns=10)
    kept = max(0, snap - 54)
    cut = [replace(s, payload=s.payload[:kept], length=len(s.payload)) for s in segments]
    recording = check(file_of(segments, snap=snap), cut, tmp_path)
    assert recording.totals["gap_bytes_truncated"] == sum(max(0, len(s.payload) - kept) for s in segments)
    assert recording.totals["gap_bytes_not_captured"] == 0


def test_headers_that_are_not_whole_are_counted(seeded, tmp_path):
    segments = conversation(seeded, turns=2)
    target, _ = read(file_of(segments, snap=40), tmp_path)
    recording = Recording(target)
    assert recording.totals["cut_packets"] == len(segments)
    assert "snap length" in recording.notices[0][3]


@pytest.mark.parametrize("joined", [3, 4, 9, 30])
def test_joined_in_the_middle(joined, seeded, tmp_path):
    segments = conversation(seeded)[joined:]
    while not segments[0].payload:
        segments.pop(0)
    recording = check(file_of(swapped(segments, seeded, 3)), segments, tmp_path)
    [flow] = recording.flows.values()
    assert (flow.preexisting, flow.role, flow.remote[1]) == (True, "client", 6379)


def test_one_direction_alone(seeded, tmp_path):
    segments = [s for s in conversation(seeded) if s.source[1] == 6379]
    check(file_of(swapped(segments, seeded, 4)), segments, tmp_path)


@pytest.mark.parametrize("missing", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_a_handshake_that_is_not_whole(missing, seeded, tmp_path):
    segments = [s for index, s in enumerate(conversation(seeded)) if index not in missing]
    recording = check(file_of(segments), segments, tmp_path)
    assert [flow.role for flow in recording.flows.values()] == ["client"]


def test_fragments_in_any_order(seeded, tmp_path):
    segments = conversation(seeded, turns=20)
    frames = []
    for number, segment in enumerate(segments):
        parts = list(packets.fragments(segment.ip(number), seeded.choice([8, 64, 512])))
        seeded.shuffle(parts)
        frames += [(segment.time, packets.framed(part, RAW)) for part in parts]
    check(packets.pcap(frames, RAW), segments, tmp_path)


def test_ipv6_fragments_with_extension_headers_in_them(seeded, tmp_path):
    """RFC 8200, section 4.5: what stands behind the fragment header is fragmented too."""
    segments, frames = conversation(seeded, ("2001:db8::1", 50001), ("2001:db8::2", 7000), turns=5), []
    for number, segment in enumerate(segments):
        packet = segment.ip()
        inner = bytes([6, 0, 1, 4, 0, 0, 0, 0]) + packet[40:]
        for at in range(0, len(inner), 512):
            part = inner[at : at + 512]
            head = struct.pack(">BBHI", 60, 0, at | (at + 512 < len(inner)), number)
            frames.append((segment.time, packet[:4] + struct.pack(">HB", 8 + len(part), 44) + packet[7:40] + head + part))
    check(packets.pcap(frames, RAW), segments, tmp_path)


def test_fragments_that_are_missing_are_said(seeded, tmp_path):
    segments = conversation(seeded, turns=20)
    lost = next(s for s in segments if len(s.payload) > 1000)
    frames = []
    for number, segment in enumerate(segments):
        parts = list(packets.fragments(segment.ip(number), 512))
        frames += [(segment.time, packets.framed(part, RAW)) for part in (parts[1:] if segment is lost else parts)]
    target, _ = read(packets.pcap(frames, RAW), tmp_path)
    assert flows(target) == expected([s for s in segments if s is not lost])
    assert Recording(target).notices[0][3:] == ["IP packets whose fragments are not all in the file", {"packets": 1}]


def test_ip_options_and_extension_headers(seeded, tmp_path):
    frames, segments = [], conversation(seeded, turns=5)
    six = conversation(seeded, ("2001:db8::1", 50001), ("2001:db8::2", 7000), turns=5)
    for segment in segments:
        packet = segment.ip()
        total = struct.pack(">H", len(packet) + 12)
        frames.append((segment.time, bytes([0x48]) + packet[1:2] + total + packet[4:20] + b"\x94\x04\0\0" + bytes(8) + packet[20:]))
    for segment in six:
        packet = segment.ip()
        extensions = bytes([60, 0]) + bytes(6) + bytes([43, 1]) + bytes(14) + bytes([51, 0]) + bytes(6) + bytes([6, 4]) + bytes(22)
        length = struct.pack(">H", len(packet) - 40 + len(extensions))
        frames.append((segment.time, packet[:4] + length + bytes([0]) + packet[7:40] + extensions + packet[40:]))
    check(packets.pcap(frames, RAW), segments + six, tmp_path)


@pytest.mark.parametrize("size", [60_000, 200_000])
def test_segments_before_offloading_split_them(size, seeded, tmp_path):
    """An IP total length of 0: the length of the frame is what there is."""
    segments = conversation(seeded, turns=2, largest=10)
    at = next(index for index, s in enumerate(segments) if s.payload)
    data, grown = seeded.randbytes(size), size - len(segments[at].payload)
    sender = segments[at].source
    segments = segments[:at] + [replace(segments[at], payload=data)] + [
        replace(s, sequence=(s.sequence + grown) % 2**32) if s.source == sender
        else replace(s, acknowledgement=(s.acknowledgement + grown) % 2**32)
        for s in segments[at + 1 :]
    ]  # fmt: skip
    frames = [(s.time, s) for s in segments]
    packed = []
    for time, s in frames:
        small = replace(s, payload=b"").ip()
        packed.append((time, packets.framed(small[:2] + bytes(2) + small[4:] + s.payload, ETHERNET)))
    check(packets.pcap(packed, ETHERNET), segments, tmp_path)


# Segments that are not of the conversation


def ends_of(segments):
    return segments[0].source, segments[0].destination


def stray(segments, at, seeded, near):
    """A segment that no receiver would believe, or that says nothing new: old, forged, duplicated or a probe."""
    now = segments[at]
    # Where both ends are: each has sent what is before.
    number = {}
    for s in segments[: at + 1]:
        number[s.source] = (s.sequence + s.wire_length + bool(s.flags & (SYN | FIN))) % 2**32
    sender, receiver = seeded.sample(ends_of(segments), 2)
    own, other = number.get(sender, 0), number.get(receiver, 0)
    # Beyond any window, and not so that two of them confirm each other.
    further = seeded.randrange(near + 200_000, 2**32 - (20 << 20))
    far = seeded.choice([near + seeded.randrange(50_000), further])
    junk = seeded.randbytes(seeded.randint(1, 1400))
    base = Segment(now.time, sender, receiver, own, other, ACK)
    kind = seeded.choice(
        ["old data", "data", "ack", "fin", "reset", "reset and ack", "syn", "syn and ack", "probe", "again", "again", "closed window"]
    )
    if kind == "old data":  # both numbers are of an earlier connection
        return replace(base, sequence=(own + far) % 2**32, acknowledgement=seeded.randrange(2**32), payload=junk)
    if kind == "data":
        return replace(base, sequence=(own + far) % 2**32, payload=junk)
    if kind == "ack":
        return replace(base, acknowledgement=(other + further) % 2**32)
    if kind == "fin":
        return replace(base, sequence=(own + far) % 2**32, flags=FIN | ACK)
    if kind == "reset":
        return replace(base, sequence=(own + far) % 2**32, flags=RST)
    if kind == "reset and ack":
        return replace(base, sequence=(own + far) % 2**32, acknowledgement=(other + further) % 2**32, flags=RST | ACK)
    if kind == "syn":
        return replace(base, sequence=(own + far) % 2**32, acknowledgement=0, flags=SYN)
    if kind == "syn and ack":
        return replace(base, sequence=(own + far) % 2**32, acknowledgement=(other + further) % 2**32, flags=SYN | ACK)
    if kind == "probe":  # RFC 9293, section 3.8.4
        return replace(base, sequence=(own - 1) % 2**32, payload=seeded.choice([b"", b"?"]))
    if kind == "closed window":
        return replace(base, window=0)
    return replace(segments[seeded.randrange(at + 1)], time=now.time)


def with_strays(segments, seeded, first, near, share=0.15):
    out = []
    for at, segment in enumerate(segments):
        out.append(segment)
        # What comes behind the end is a connection of its own.
        if first <= at < len(segments) - 3 and seeded.random() < share:
            out.append(stray(segments, at, seeded, near))
    return [replace(s, time=segments[0].time + index * 50_000) for index, s in enumerate(out)]


@pytest.mark.parametrize("change", ["as it is", "lost", "duplicated", "joined"])
def test_stray_segments_neither_lose_nor_invent_a_byte(change, seeded, tmp_path):
    for _ in range(int(os.environ.get("TAP_ROUNDS", 5))):
        segments = conversation(seeded, turns=60)
        if change == "joined":
            segments = segments[8:]
        elif change == "lost":
            segments = [s for s in segments if not s.payload or seeded.random() > 0.05]
        # Without a handshake the scale of the windows is not known.
        mixed = (
            with_strays(segments, seeded, first=20, near=17 << 20) if change == "joined"
            else with_strays(segments, seeded, first=2, near=70_000)
        )  # fmt: skip
        if change == "duplicated":
            mixed = [copy for s in mixed for copy in [s] * seeded.choice([1, 1, 2])]
        recording = check(file_of(mixed), segments, tmp_path)
        assert closes(tmp_path / "recording.tap") == ["closed"]
        totals = recording.totals
        moved = totals["data_bytes"] + totals["repeated_bytes"] + totals["refused_bytes"]
        assert moved == sum(len(s.payload) for s in mixed)


SECOND_NUMBERS = (5000, 9000)


def handshake(client=("10.0.0.1", 40000), server=("10.0.0.2", 6379)):
    first, second = SECOND_NUMBERS
    return [
        Segment(SECOND, client, server, first, 0, SYN), Segment(SECOND + 1, server, client, second, first + 1, SYN | ACK),
        Segment(SECOND + 2, client, server, first + 1, second + 1, ACK),
    ]  # fmt: skip


def timed(segments):
    return [replace(s, time=SECOND + index * 1_000_000) for index, s in enumerate(segments)]


PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


def test_an_acknowledgement_of_what_was_never_sent_is_not_believed(tmp_path):
    """RFC 9293, section 3.10.7.4, fifth: SEG.ACK > SND.NXT."""
    _, answer, opened = segments = handshake()
    segments += [replace(opened, payload=PING), replace(answer, flags=ACK, sequence=9001, acknowledgement=5015 + 300_000_000)]
    segments += [replace(answer, flags=ACK, sequence=9001 + 100 * i, acknowledgement=5015, payload=bytes(100)) for i in range(20)]
    segments += [replace(opened, sequence=5015 + 14 * i, acknowledgement=11001, payload=PING) for i in range(3)]
    target, _ = read(file_of(timed(segments)), tmp_path)
    assert [list(s.values()) for [s] in flows(target).values()] == [[list(PING * 4), [0] * 2000]]
    assert Recording(target).totals["repeated_bytes"] == 0


def test_a_host_that_knows_an_earlier_connection_only(tmp_path):
    """RFC 9293, section 3.5.1: a SYN, the acknowledgement of something else, a reset, and the SYN again."""
    opening, answer, opened = handshake()
    old = 5001 + 200_000_000
    segments = [opening, replace(answer, flags=ACK, sequence=777, acknowledgement=old)]
    segments += [replace(opening, flags=RST, sequence=old), opening, answer, opened, replace(opened, payload=PING)]
    segments += [replace(answer, flags=ACK, sequence=9001, acknowledgement=5015, payload=PONG)]
    target, _ = read(file_of(timed(segments)), tmp_path)
    assert [list(s.values()) for [s] in flows(target).values()] == [[list(PING), list(PONG)]]
    assert closes(target) == []


def test_an_old_syn_is_answered_and_refused_before_the_new_one(tmp_path):
    """RFC 9293, section 3.5, figure 9, as the client's machine sees it."""
    opening, answer, opened = handshake()
    segments = [opening, replace(answer, sequence=300, acknowledgement=91), replace(opening, flags=RST, sequence=91)]
    segments += [answer, opened, replace(opened, payload=PING), replace(answer, flags=ACK, sequence=9001, acknowledgement=5015, payload=PONG)]
    target, _ = read(file_of(timed(segments)), tmp_path)
    assert [list(s.values()) for [s] in flows(target).values()] == [[list(PING), list(PONG)]]
    assert Recording(target).totals["refused_resets"] == 1


def test_a_fin_beyond_the_window_is_not_believed(seeded, tmp_path):
    segments = conversation(seeded, turns=3)
    forged = replace(segments[3], sequence=(segments[3].sequence + 900_000_000) % 2**32, flags=FIN | ACK, payload=b"")
    check(file_of(segments[:5] + [forged] + segments[5:]), segments, tmp_path)
    assert closes(tmp_path / "recording.tap") == ["closed"]


def test_packets_that_are_missing_in_a_row_are_a_gap_however_many(seeded, tmp_path):
    """More than a window of one direction: both ends tell of it."""
    segments = conversation(seeded, turns=120, largest=4000)
    for kept in (segments[:100] + segments[-40:], segments[:100] + segments[-3:]):
        recording = check(file_of(kept), kept, tmp_path)
        assert recording.totals["gap_bytes_not_captured"] > 2 * 65535
        assert recording.totals["refused_bytes"] == 0
        assert closes(tmp_path / "recording.tap") == ["closed"]


def test_a_reset_may_stand_before_the_last_bytes(tmp_path):
    segments = handshake()
    answer = replace(segments[1], flags=ACK, sequence=9001, payload=b"hello")
    reset = replace(answer, flags=RST | ACK, sequence=9006, payload=b"")
    for order in ([reset, answer], [answer, reset]):
        target, _ = read(file_of(timed(segments + order)), tmp_path)
        assert [s[1] for [s] in flows(target).values()] == [list(b"hello")]
        assert closes(target) == ["reset"]
        assert Recording(target).totals["repeated_bytes"] == 0


def test_a_reset_tells_of_bytes_that_are_missing(tmp_path):
    segments = handshake()
    reset = replace(segments[1], flags=RST | ACK, sequence=9001 + 5000)
    recording = check(file_of(timed(segments + [reset])), timed(segments + [reset]), tmp_path)
    assert recording.totals["gap_bytes_not_captured"] == 5000
    assert closes(tmp_path / "recording.tap") == ["reset"]


def test_what_comes_behind_a_reset_is_refused(tmp_path):
    segments = handshake()
    reset = replace(segments[1], flags=RST | ACK, sequence=9001)
    late = replace(segments[2], payload=PING)
    target, _ = read(file_of(timed(segments + [reset, late])), tmp_path)
    totals = Recording(target).totals
    assert (totals["refused_bytes"], totals["repeated_bytes"]) == (len(PING), 0)


def test_ports_that_come_again_without_a_handshake_are_believed_when_answered(seeded, tmp_path):
    first, second = conversation(seeded, turns=3), conversation(seeded, turns=3, time=SECOND)
    second = list(packets.shifted(second, (first[3].sequence + 2**31 - second[3].sequence) % 2**32, (first[3].acknowledgement + 2**31 - second[3].acknowledgement) % 2**32))
    target, _ = read(file_of(first[:-3] + second[3:]), tmp_path)
    [streams] = flows(target).values()
    assert streams == [*expected(first[:-3]).values()][0] + [*expected(second).values()][0]
    assert closes(target) == ["reused", "closed"]


# The life of connections


def closes(target):
    return [fields[2] for kind, *fields in tapwire.frames(target) if kind == tapwire.CLOSE]


def test_ports_that_come_again_are_a_new_flow(seeded, tmp_path):
    first, second = conversation(seeded, turns=3), conversation(seeded, turns=3, time=SECOND)
    segments = first[:-3] + second  # the first one never ended
    target, _ = read(file_of(segments), tmp_path)
    assert flows(target) == expected(segments)
    assert closes(target) == ["reused", "closed"]
    target, _ = read(file_of(first + second[3:]), tmp_path)  # the second one's handshake is missing
    (streams,) = flows(target).values()
    assert len(streams) == 2
    assert streams[1] == expected(second)[second[0].source, second[0].destination][0]


def test_a_forged_reset_ends_nothing(seeded, tmp_path):
    segments = conversation(seeded)
    middle = segments[30]
    forged = replace(middle, flags=RST, payload=b"", sequence=(middle.sequence + 2**30) % 2**32)
    target, _ = read(file_of(segments[:30] + [forged] + segments[30:]), tmp_path)
    assert flows(target) == expected(segments)
    assert closes(target) == ["closed"]
    assert Recording(target).totals["refused_resets"] == 1


def test_a_reset_ends_a_flow(seeded, tmp_path):
    segments = conversation(seeded)
    at = next(index for index, s in enumerate(segments) if index > 30 and not s.source[1] == 6379)
    reset = replace(segments[at], flags=RST | ACK, payload=b"")
    target, _ = read(file_of(segments[:at] + [reset] + segments[at : at + 3]), tmp_path)
    assert flows(target) == expected(segments[:at])
    assert closes(target) == ["reset"]


def test_a_refused_connection_is_a_flow_without_bytes(seeded, tmp_path):
    opening = conversation(seeded)[0]
    refusal = Segment(opening.time + 1, opening.destination, opening.source, 0, (opening.sequence + 1) % 2**32, RST | ACK)
    target, _ = read(file_of([opening, refusal]), tmp_path)
    assert flows(target) == {(opening.source, opening.destination): [{0: [], 1: []}]}
    assert closes(target) == ["reset"]


def test_a_half_closed_connection_goes_on(seeded, tmp_path):
    segments = conversation(seeded, turns=4)
    ending, answer = segments[-3], segments[-2]
    late = [replace(answer, flags=ACK, payload=b"still here")]
    late += [replace(answer, sequence=(answer.sequence + 10) % 2**32)]
    everything = segments[:-3] + [ending] + late
    recording = check(file_of(everything), everything, tmp_path)
    assert [flow.close for flow in recording.flows.values()] == ["closed"]


def test_both_ends_may_open_at_once(seeded, tmp_path):
    segments = conversation(seeded, turns=4)
    opening, answer = segments[:2]
    both = [opening, replace(answer, flags=SYN, acknowledgement=0)]
    both += [replace(opening, flags=SYN | ACK, acknowledgement=(answer.sequence + 1) % 2**32), answer]
    recording = check(file_of(both + segments[3:]), both + segments[3:], tmp_path)
    assert [flow.role for flow in recording.flows.values()] == ["client"]


def test_probes_are_not_bytes(seeded, tmp_path):
    """Keep-alives repeat the last byte, or send a wrong one; zero-window probes send the next one."""
    segments, with_probes = conversation(seeded), []
    for segment in segments[:-3]:
        with_probes.append(segment)
        if segment.payload:
            after = (segment.sequence + len(segment.payload)) % 2**32
            with_probes.append(replace(segment, sequence=(after - 1) % 2**32, payload=seeded.choice([b"", b"?"])))
    for index, segment in enumerate(with_probes):
        if len(segment.payload) > 1 and seeded.random() < 0.2:
            with_probes[index] = replace(segment, payload=segment.payload[:1]), segment
    flat = [s for entry in with_probes for s in (entry if isinstance(entry, tuple) else (entry,))]
    check(file_of(flat + segments[-3:]), segments, tmp_path)


def test_thousands_of_connections_in_bounded_memory(seeded, tmp_path):
    """60,000 are open at once: the quietest are ended, which is said, and memory stays where it was."""

    def opened(count):
        for index in range(count):
            client = (f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", 40000)
            opening = Segment(SECOND + index * 1000, client, ("10.255.0.1", 6379), 7, 0, SYN)
            yield opening
            yield replace(opening, flags=ACK, sequence=8, payload=b"PING\r\n")

    target, _ = read(file_of(list(opened(60_000)), RAW), tmp_path)
    frames = list(tapwire.frames(target))
    forgotten = [frame for frame in frames if frame[0] == tapwire.CLOSE]
    assert {frame[3] for frame in forgotten} == {"forgotten"}
    [notice] = [frame for frame in frames if frame[0] == tapwire.NOTICE]
    assert notice[5] == {"connections": len(forgotten)}
    assert sum(frame[0] == tapwire.DATA for frame in frames) == 60_000


def test_what_waits_is_bounded_over_all_connections(seeded, tmp_path):
    """64 connections lack their first byte and hold 1 MiB each: more than is kept, so that gaps come early, and are said."""
    segments = []
    for index in range(64):
        client = ("10.0.0.1", 10000 + index)
        segments.append(Segment(SECOND, client, ("10.0.0.2", 6379), 7, 0, SYN))
        for part in range(16):
            segments.append(Segment(SECOND, client, ("10.0.0.2", 6379), 9 + part * 65000, 0, ACK, bytes(65000)))
    target, _ = read(file_of(segments, RAW), tmp_path)
    recording = Recording(target)
    assert recording.totals["gap_bytes_not_captured"] == 64
    assert recording.totals["data_bytes"] == 64 * 16 * 65000
    assert "waited" in recording.notices[0][3]


# Files that are damaged, wrong, or hostile


def test_a_file_that_is_cut_is_read_to_the_cut(seeded, tmp_path):
    segments = conversation(seeded, turns=2)
    content = file_of(segments)
    target, said = read(content[:-5], tmp_path, status=65)
    place = len(content) - 16 - 54
    assert f"behind packet {len(segments) - 1}, at byte {place}: truncated dump file" in said
    *_, notice, end = tapwire.frames(target)
    assert notice[:3] == [tapwire.NOTICE, "tap-capture", "error"] and notice[4] in said
    assert end[:2] == [tapwire.END, False]
    frames = [(s.time, packets.framed(s.ip(), ETHERNET)) for s in segments]
    content = packets.pcapng(frames, ETHERNET)
    start = content.rindex(struct.pack("<II", 6, 32 + 56))
    for length in (start + 5, start + 20, start + 60):
        _, said = read(content[:length], tmp_path, status=65)
        assert f"behind packet {len(segments) - 1}, at byte {start}: truncated" in said, length


def test_interfaces_of_different_link_types_are_refused_where_they_begin(seeded, tmp_path):
    frames = [(s.time, packets.framed(s.ip(), ETHERNET)) for s in conversation(seeded, turns=1)]
    _, said = read(packets.pcapng(frames, ETHERNET, interfaces=2, links=[ETHERNET, RAW]), tmp_path, status=65)
    assert "different from the type of the first interface" in said
    assert "one link type" in said


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "not a capture file"), (b"\xd4\xc3", "not a capture file"), (b"PK\x03\x04" * 100, "unknown file format"),
        (packets.pcap([], 105), "IEEE802_11, which is not supported"),
    ],
)  # fmt: skip
def test_what_is_no_capture_file_is_refused(content, words, tmp_path):
    target, said = read(content, tmp_path, status=65)
    assert words in said and said.count("\n") == 2
    assert target.read_bytes() == b""


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["port", "6379"], "a filter expression needs --read"), (["-r", "x", "--port", "6379"], "port is for live captures"),
        (["-r", "x", "--", "true"], "--read runs no command"), (["-r", "x", "--buffer", "1M"], "buffer is for live"),
    ],
)  # fmt: skip
def test_misuse_is_told(arguments, words):
    ran = subprocess.run([tool("tap-capture"), *arguments], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (64, "")
    assert words in ran.stderr


def test_a_file_that_is_not_there(tmp_path):
    ran = subprocess.run([tool("tap-capture"), "-r", tmp_path / "missing.pcap"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (66, "")
    assert ran.stderr.startswith(f"tap-capture: cannot open {tmp_path}/missing.pcap: No such file")


def test_a_filter_leaves_packets_out(seeded, tmp_path):
    segments = conversations(seeded)
    target, _ = read(file_of(segments), tmp_path, "tcp", "port", "7000")
    assert flows(target) == expected([s for s in segments if 7000 in (s.source[1], s.destination[1])])
    _, said = read(file_of(segments), tmp_path, "prot 7000", status=64)
    assert "the filter expression is wrong" in said


def test_no_file_crashes_it(seeded, tmp_path):
    """Cut anywhere, and with random bytes flipped: an exit status of ours, and a stream that can be read."""
    segments = conversation(seeded, turns=2, largest=60)
    frames = [(s.time, packets.framed(s.ip(), ETHERNET), ["PID: 7\nCmd: /bin/x\nArgs: x y"], 2) for s in segments]
    whole = [file_of(segments, SLL2), packets.pcapng(frames, ETHERNET), packets.pcapng(frames, ETHERNET, ">")]
    hostile = [content[:length] for content in whole for length in range(seeded.randrange(29), len(content), 29)]
    for _ in range(200):
        content = bytearray(seeded.choice(whole))
        for _ in range(seeded.choice([1, 2, 5, 40])):
            content[seeded.randrange(len(content))] = seeded.choice([0, 255, seeded.randrange(256)])
        hostile.append(bytes(content))
    if os.path.isdir(CORPUS):
        for path in seeded.sample([path for path in corpus() if os.path.getsize(path) < 200_000], 40):
            with open(path, "rb") as file:
                content = bytearray(file.read())
            for _ in range(seeded.choice([1, 5, 40])):
                content[seeded.randrange(len(content))] = seeded.choice([0, 255, seeded.randrange(256)])
            hostile.append(bytes(content))
    for content in hostile:
        ran = subprocess.run([tool("tap-capture"), "-r", "-"], input=content, capture_output=True, timeout=20)
        assert ran.returncode in (0, 65), (ran.returncode, ran.stderr)
        (tmp_path / "out").write_bytes(ran.stdout)
        # Frames of a flow follow each other without a hole, and the totals are their sums.
        place, data, missing = {}, 0, 0
        for kind, *fields in tapwire.frames(tmp_path / "out"):
            assert kind <= tapwire.END
            if kind in (tapwire.DATA, tapwire.GAP):
                length = len(fields[4]) if kind == tapwire.DATA else fields[4]
                assert fields[3] == place.get(tuple(fields[:2]), 0) and length > 0
                place[tuple(fields[:2])] = fields[3] + length
                data, missing = data + length * (kind == tapwire.DATA), missing + length * (kind == tapwire.GAP)
            elif kind == tapwire.END:
                assert fields[1]["data_bytes"] == data
                assert fields[1]["gap_bytes_truncated"] + fields[1]["gap_bytes_not_captured"] == missing


# Processes


PTCPDUMP = "PID: {pid}\nCmd: {cmd}\nArgs: {cmd} -a secret GET x"


def processes(recording):
    return [recording.processes.get(flow.process) for flow in recording.flows.values()]


@pytest.mark.parametrize("order", "<>")
def test_comments_of_ptcpdump_name_the_process(order, seeded, tmp_path):
    segments = conversation(seeded, turns=4)
    more = ["ParentPID: 5\nParentCmd: /usr/bin/bash\nParentArgs: bash", "UserId: 1000\nGroupId: 1000"]
    more += ["ContainerName: web\nContainerId: 0123\nContainerImage: redis:7\nContainerLabels: {}"]
    comments = [PTCPDUMP.format(pid=4242, cmd="/usr/bin/redis-cli"), *more]
    frames = [
        (s.time, packets.framed(s.ip(), ETHERNET), comments, 2 if s.source == segments[0].source else 1) for s in segments
    ]
    recording = check(packets.pcapng(frames, ETHERNET, order), segments, tmp_path)
    grammar = Grammar()
    for frame in tapwire.frames(tmp_path / "recording.tap"):
        grammar.check(cbor2.dumps(frame))
    assert processes(recording) == [
        {
            "pid": 4242, "parent": {"pid": 5, "comm": "bash"}, "comm": "redis-cli", "exe": "/usr/bin/redis-cli",
            "command_line": ["/usr/bin/redis-cli", "-a", "***", "GET", "x"], "uid": 1000,
            "container": {"id": "0123", "name": "web", "image": "redis:7"},
        }
    ]  # fmt: skip


@pytest.mark.parametrize("order", "<>")
def test_process_blocks_of_macos_name_the_process(order, seeded, tmp_path):
    segments = conversation(seeded, turns=4)
    frames = [
        (s.time, packets.framed(s.ip(), NULL), [], 2 if s.source == segments[0].source else 1, 1) for s in segments
    ]
    content = packets.pcapng(frames, NULL, order, processes=[(1, "launchd"), (812, "redis-cli")])
    assert processes(check(content, segments, tmp_path)) == [{"pid": 812, "comm": "redis-cli"}]


def test_a_server_that_is_named_makes_the_flow_its_own(seeded, tmp_path):
    segments = conversation(seeded, turns=4)
    server = segments[0].destination
    comments = [PTCPDUMP.format(pid=77, cmd="/usr/bin/redis-server")]
    # Nobody has accepted the connection yet when the SYN comes.
    frames = [
        (s.time, packets.framed(s.ip(), ETHERNET), comments if index else [], 2 if s.source == server else 1)
        for index, s in enumerate(segments)
    ]
    target, _ = read(packets.pcapng(frames, ETHERNET), tmp_path)
    recording = Recording(target)
    [flow] = recording.flows.values()
    assert (flow.role, flow.local, processes(recording)[0]["pid"]) == ("server", server, 77)
    [streams] = expected(segments).values()
    assert flows(target) == {(server, segments[0].source): [{0: streams[0][1], 1: streams[0][0]}]}


def test_comments_without_a_direction_name_nobody(seeded, tmp_path):
    segments = conversation(seeded, turns=2)
    frames = [(s.time, packets.framed(s.ip(), ETHERNET), [PTCPDUMP.format(pid=1, cmd="x")], None) for s in segments]
    assert processes(check(packets.pcapng(frames, ETHERNET), segments, tmp_path)) == [None]


def test_comments_that_are_all_different_do_not_fill_memory(seeded, tmp_path):
    segments = conversation(seeded, turns=500, largest=1)
    frames = [
        (s.time, packets.framed(s.ip(), ETHERNET), [f"PID: {number + 1}\nCmd: /{number}{'x' * 60000}"], 2)
        for number, s in enumerate(segments)
    ]
    recording = check(packets.pcapng(frames, ETHERNET), segments, tmp_path)
    assert processes(recording)[0]["pid"] == 1


# Terminals and signals


def packets_in_parts(seeded):
    """A file in three parts of 4,096 packets and more."""
    segments = conversation(seeded, turns=7000, largest=1)
    content = file_of(segments, RAW)
    third = len(content) // 3
    return [content[:third], content[third : 2 * third], content[2 * third :]]


@pytest.mark.parametrize("expression", [[], ["port", "1"]])
def test_a_progress_line_on_a_terminal_only(expression, seeded):
    parts = packets_in_parts(seeded)
    terminal, other_end = os.openpty()
    try:
        process = subprocess.Popen(
            [tool("tap-capture"), "-r", "-", *expression], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=other_end
        )
        for part in parts:
            process.stdin.write(part)
            process.stdin.flush()
            time.sleep(0.6)
        process.stdin.close()
        assert process.wait(30) == 0
        said = os.read(terminal, 1 << 16)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert b"tap-capture: " in said and b" packets, " in said
    # It is removed at the end, and nothing else is left.
    assert said.endswith(b"\r\x1b[K") and b"\n" not in said


def test_a_signal_ends_the_reading_of_a_file_in_good_order(seeded, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    segments = conversation(seeded, turns=3)
    content = file_of(segments)
    with open(tmp_path / "out", "wb") as output:
        process = subprocess.Popen([tool("tap-capture"), "-r", tmp_path / "fifo"], stdout=output)
    with open(tmp_path / "fifo", "wb") as fifo:
        fifo.write(content[:-100])
        fifo.flush()
        # It has written what there is, and waits.
        deadline = time.monotonic() + 20
        while (tmp_path / "out").stat().st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    recording = Recording(tmp_path / "out")
    assert "was stopped by a signal" in recording.notices[0][3]
    assert recording.totals["data_bytes"] > 0


# Real captures


def corpus():
    found = [path for kind in ("pcap", "pcapng", "trace") for path in glob.glob(f"{CORPUS}/**/*.{kind}", recursive=True)]
    return sorted(path for path in found if os.path.isfile(path))


@pytest.mark.skipif(not os.path.isdir(CORPUS), reason=f"{CORPUS} is not there")
def test_every_capture_of_the_corpus(tmp_path):
    captures = corpus()
    assert len(captures) > 150
    for path in captures:
        with open(path, "rb") as file:
            check(file.read(), packets.read(path), tmp_path)


@pytest.mark.skipif(not os.path.isdir(CORPUS), reason=f"{CORPUS} is not there")
@pytest.mark.parametrize("name", ["pipeline", "huge", "ipv6_misc", "psync_disk"])
def test_variants_of_real_captures(name, seeded, tmp_path):
    segments = list(packets.read(f"{CORPUS}/redis-live/{name}.pcap"))
    shifted = list(packets.shifted(segments, seeded.randrange(2**32), seeded.randrange(2**32)))
    copies = [copy for s in shifted for copy in [s] * seeded.choice([1, 1, 1, 2])]
    check(file_of(swapped(copies, seeded, 4), SLL2, (0x8100,), nanoseconds=True), segments, tmp_path)
    kept = [s for s in segments if not s.payload or seeded.random() > 0.02]
    check(file_of(kept, RAW), kept, tmp_path)


# Lines behind one with unbalanced quotes: the reference counts them, redis-server reads nothing more.
UNBALANCED = {"pipeline-quotes.pcap": 1}


def counted():
    """The captures whose RESP the reference decoder read to its end, and what it counted."""
    with open(f"{CORPUS}/redis-counts.tsv") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    rows = [dict(zip(rows[0], row)) for row in rows[1:]]
    return [row for row in rows if not row.get("ref_stops_at")]


@pytest.mark.skipif(not os.path.isdir(CORPUS), reason=f"{CORPUS} is not there")
def test_commands_in_the_corpus_are_those_that_a_reference_counts(tmp_path):
    rows = counted()
    assert len(rows) > 50
    for row in rows:
        lines = run([[tool("tap-capture"), "--read", f"{CORPUS}/{row['pcap']}"], RESP, JSON], tmp_path).splitlines()
        exchanges = [exchange for exchange in map(json.loads, lines) if "command" in exchange]
        commands = [
            exchange for exchange in exchanges
            if exchange["server"].endswith(f":{row['port']}") and not exchange["command"].startswith("(")
        ]  # fmt: skip
        unbalanced = UNBALANCED.get(os.path.basename(row["pcap"]), 0)
        assert len(commands) + unbalanced == int(row["ref_commands"]), row
