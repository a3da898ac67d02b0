# The smallest io_uring that can send and receive: its transfers happen outside of any read or write call.

import ctypes
import mmap
import os
import struct

from .system_calls import call, iovecs

_SETUP, _ENTER, _REGISTER = 425, 426, 427
_SEND, _RECEIVE, _SEND_ZERO_COPY = 26, 27, 47  # IORING_OP_SEND, IORING_OP_RECV, IORING_OP_SEND_ZC
_REGISTER_BUFFERS = 0
_FIXED_BUFFER = 4  # IORING_RECVSEND_FIXED_BUF
_GET_EVENTS = 1
_BY_A_WORKER = 1 << 4  # IOSQE_ASYNC
_SQ_RING, _CQ_RING, _ENTRIES = 0, 0x8000000, 0x10000000


class Ring:
    """A ring for one request at a time."""

    def __init__(self):
        parameters = ctypes.create_string_buffer(120)
        self.descriptor = call(_SETUP, 4, parameters)
        words = struct.unpack("<30I", parameters.raw)
        self._sq_tail, self._sq_mask, self._sq_array = words[11], words[12], words[16]
        self._cq_head, self._cq_tail, self._cq_mask, self._cqes = words[20], words[21], words[22], words[25]
        self._sq = mmap.mmap(self.descriptor, self._sq_array + 4 * words[0], offset=_SQ_RING)
        self._cq = mmap.mmap(self.descriptor, self._cqes + 16 * words[1], offset=_CQ_RING)
        self._entries = mmap.mmap(self.descriptor, 64 * words[0], offset=_ENTRIES)

    @staticmethod
    def _word(memory, offset):
        return struct.unpack_from("<I", memory, offset)[0]

    def _submit(self, operation, socket, buffer, length, by_worker=False, priority=0):
        tail = self._word(self._sq, self._sq_tail)
        index = tail & self._word(self._sq, self._sq_mask)
        flags = _BY_A_WORKER if by_worker else 0
        entry = struct.pack("<BBHiQQIIQ", operation, flags, priority, socket, 0, ctypes.addressof(buffer), length, 0, 1)
        self._entries[64 * index : 64 * index + 64] = entry.ljust(64, b"\0")
        struct.pack_into("<I", self._sq, self._sq_array + 4 * index, index)
        struct.pack_into("<I", self._sq, self._sq_tail, tail + 1)
        assert call(_ENTER, self.descriptor, 1, 0, 0, 0, 0) == 1

    def submit_send(self, socket, buffer, by_worker=False):
        self._submit(_SEND, socket.fileno(), buffer, len(buffer), by_worker)

    def submit_receive(self, socket, buffer, by_worker=False):
        self._submit(_RECEIVE, socket.fileno(), buffer, len(buffer), by_worker)

    def submit_registered_send(self, socket, buffer):
        """From memory that the kernel has looked up before: it gets pages, not addresses. Completes twice (Linux 6.0)."""
        call(_REGISTER, self.descriptor, _REGISTER_BUFFERS, iovecs([buffer]), 1)
        self._submit(_SEND_ZERO_COPY, socket.fileno(), buffer, len(buffer), priority=_FIXED_BUFFER)

    def wait(self):
        """The result of the request."""
        head = self._word(self._cq, self._cq_head)
        while self._word(self._cq, self._cq_tail) == head:
            call(_ENTER, self.descriptor, 0, 1, _GET_EVENTS, 0, 0)
        index = head & self._word(self._cq, self._cq_mask)
        (result,) = struct.unpack_from("<i", self._cq, self._cqes + 16 * index + 8)
        struct.pack_into("<I", self._cq, self._cq_head, head + 1)
        return result

    def close(self):
        for memory in (self._sq, self._cq, self._entries):
            memory.close()
        os.close(self.descriptor)
