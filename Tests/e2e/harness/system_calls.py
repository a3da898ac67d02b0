# Every system call that moves bytes over a socket, made as it is: Python's own methods would choose another form.

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# x86-64
READ, WRITE, READV, WRITEV, SENDFILE, SENDTO, RECVFROM, SENDMSG, RECVMSG = 0, 1, 19, 20, 40, 44, 45, 46, 47
SPLICE, RECVMMSG, SENDMMSG, PREADV2, PWRITEV2 = 275, 299, 307, 327, 328


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("iovecs", ctypes.c_void_p),
        ("iovec_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]  # fmt: skip


class MultiMessage(ctypes.Structure):
    _fields_ = [("message", Message), ("length", ctypes.c_uint)]


def call(number, *arguments):
    """The raw system call; errors become OSError."""
    result = _libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, errno.errorcode.get(code, "?"))
    return result


def iovecs(buffers):
    array = (Iovec * len(buffers))()
    for entry, buffer in zip(array, buffers):
        entry.base, entry.length = ctypes.addressof(buffer), len(buffer)
    return array


def message(array):
    return Message(iovecs=ctypes.addressof(array), iovec_count=len(array))


def split(data, pieces):
    """Buffers that hold `data` in so many pieces, some of them empty when there is little of it."""
    bounds = [len(data) * index // pieces for index in range(pieces + 1)]
    return [ctypes.create_string_buffer(data[a:b], b - a) for a, b in zip(bounds, bounds[1:])]


def send(form, descriptor, data, pieces=3, flags=0):
    """Sends by one call of this form and returns how many bytes the kernel took."""
    if form in (WRITE, SENDTO):
        buffer = ctypes.create_string_buffer(data, len(data))
        if form == WRITE:
            return call(WRITE, descriptor, buffer, len(data))
        return call(SENDTO, descriptor, buffer, len(data), flags, 0, 0)
    buffers = split(data, pieces)
    array = iovecs(buffers)
    if form == WRITEV:
        return call(WRITEV, descriptor, array, pieces)
    if form == PWRITEV2:
        return call(PWRITEV2, descriptor, array, pieces, -1, -1, 0)
    assert form == SENDMSG
    return call(SENDMSG, descriptor, ctypes.byref(message(array)), flags)


def receive(form, descriptor, length, pieces=3, flags=0):
    """Receives by one call of this form and returns the bytes."""
    if form in (READ, RECVFROM):
        buffer = ctypes.create_string_buffer(length)
        if form == READ:
            count = call(READ, descriptor, buffer, length)
        else:
            count = call(RECVFROM, descriptor, buffer, length, flags, 0, 0)
        return buffer.raw[:count]
    buffers = split(bytes(length), pieces)
    array = iovecs(buffers)
    if form == READV:
        count = call(READV, descriptor, array, pieces)
    elif form == PREADV2:
        count = call(PREADV2, descriptor, array, pieces, -1, -1, 0)
    else:
        assert form == RECVMSG
        count = call(RECVMSG, descriptor, ctypes.byref(message(array)), flags)
    return b"".join(buffer.raw for buffer in buffers)[:count]


def send_many(descriptor, parts):
    """One sendmmsg."""
    buffers = [ctypes.create_string_buffer(part, len(part)) for part in parts]
    arrays = [iovecs([buffer]) for buffer in buffers]
    messages = (MultiMessage * len(parts))(*[MultiMessage(message(array)) for array in arrays])
    return call(SENDMMSG, descriptor, messages, len(parts), 0)


def receive_many(descriptor, lengths):
    """One recvmmsg that does not wait for more than one message."""
    buffers = [ctypes.create_string_buffer(length) for length in lengths]
    arrays = [iovecs([buffer]) for buffer in buffers]
    messages = (MultiMessage * len(lengths))(*[MultiMessage(message(array)) for array in arrays])
    wait_for_one = 0x10000
    count = call(RECVMMSG, descriptor, messages, len(lengths), wait_for_one, 0)
    return [buffers[index].raw[: messages[index].length] for index in range(count)]


def send_file(descriptor, path, length):
    with open(path, "rb") as file:
        return os.sendfile(descriptor, file.fileno(), 0, length)


def splice_away(descriptor, length):
    """Moves bytes out of a socket into a pipe, so that no call receives them; returns them."""
    reading, writing = os.pipe()
    try:
        moved = b""
        while len(moved) < length:
            count = call(SPLICE, descriptor, 0, writing, 0, length - len(moved), 0)
            moved += os.read(reading, count)
        return moved
    finally:
        os.close(reading)
        os.close(writing)
