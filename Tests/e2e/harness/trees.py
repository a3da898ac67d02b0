# Values of RESP as trees that can be compared: what hiredis reads from bytes, and what an exchange of tap-resp holds.
#
# A tree is a pair of a name and a content. Inside of an aggregate TapWire has one type for integers and big numbers: so have
# the trees.

import ctypes
import glob
import os
import struct

import hiredis

# redisReply.type of hiredis' read.h.
TYPES = {
    1: "bulk_string", 2: "array", 3: "integer", 4: "null", 5: "simple_string", 6: "error", 7: "double", 8: "boolean",
    9: "map", 10: "set", 11: "attribute", 12: "push", 13: "big_number", 14: "verbatim_string",
}  # fmt: skip


class Reply(ctypes.Structure):
    pass


Reply._fields_ = [
    ("type", ctypes.c_int), ("integer", ctypes.c_longlong), ("dval", ctypes.c_double), ("len", ctypes.c_size_t),
    ("str", ctypes.POINTER(ctypes.c_char)), ("vtype", ctypes.c_char * 4), ("elements", ctypes.c_size_t),
    ("element", ctypes.POINTER(ctypes.POINTER(Reply))),
]  # fmt: skip


def _library():
    # The extension module exports the C library that it is made of.
    [path] = glob.glob(os.path.join(os.path.dirname(hiredis.__file__), "hiredis.*.so"))
    library = ctypes.CDLL(path)
    library.redisReaderCreate.restype = ctypes.c_void_p
    library.redisReaderFeed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.redisReaderGetReply.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.POINTER(Reply))]
    library.redisReaderFree.argtypes = [ctypes.c_void_p]
    library.freeReplyObject.argtypes = [ctypes.POINTER(Reply)]
    return library


class HiredisReader:
    """hiredis' redisReader: the C library itself, with every type that it knows."""

    def __init__(self):
        self._library = _library()
        self._reader = self._library.redisReaderCreate()

    def close(self):
        self._library.redisReaderFree(self._reader)

    def read(self, data):
        """The tree of every value that is complete with these bytes."""
        assert self._library.redisReaderFeed(self._reader, data, len(data)) == 0
        reply = ctypes.POINTER(Reply)()
        while True:
            refused = self._library.redisReaderGetReply(self._reader, ctypes.byref(reply))
            # A redisReader begins with an int and the text of what went wrong.
            assert not refused, ctypes.string_at(self._reader + 4)
            if not reply:
                return
            value = reply.contents
            yield _hiredis_tree(value)
            self._library.freeReplyObject(reply)


def _hiredis_tree(reply):
    kind = TYPES[reply.type]
    if kind in ("array", "map", "set", "push", "attribute"):
        return kind, [_hiredis_tree(reply.element[index].contents) for index in range(reply.elements)]
    if kind == "integer":
        return kind, reply.integer
    if kind == "boolean":
        return kind, reply.integer == 1
    if kind == "double":
        return kind, _number(reply.dval)
    if kind == "null":
        return kind, None
    text = ctypes.string_at(reply.str, reply.len)
    if kind == "big_number":
        return "integer", int(text)
    if kind == "verbatim_string":
        return kind, (reply.vtype[:3], text)
    return kind, text


def _number(value):
    return "nan" if value != value else value


# What an exchange holds


def tree(item):
    """The tree of a CBOR data item, with TapWire's tags (docs/tapwire.md)."""
    found, end = _tree(item, 0)
    assert end == len(item)
    return found


def exchange_tree(response_type, value, form):
    """The tree of a response; `value` is the CBOR of `response_value`, a text where it is a scalar (docs/redis.md)."""
    kind, content = found = tree(value)
    if response_type in ("bulk_string", "simple_string"):
        return response_type, content
    if response_type == "error":
        return "error", content
    if response_type in ("integer", "big_number"):
        return "integer", int(content)
    if response_type == "double":
        return "double", _number(float(content))
    if response_type == "boolean":
        return "boolean", {b"true": True, b"false": False}[content]
    if response_type == "null":
        assert content is None
        return found
    if response_type == "verbatim_string":
        return response_type, (form, content)
    if response_type in ("set", "push"):
        # The type says it, so that the array needs no tag.
        return response_type, content
    assert response_type == kind, (response_type, kind)
    return found


_TAGS = {258: "set", 52501: "simple_string", 52502: "error", 52504: "push"}


def head(data, position):
    """(major type, argument, position behind the head) of a data item of definite length (RFC 8949, section 3)."""
    initial = data[position]
    additional = initial & 31
    if additional < 24:
        return initial >> 5, additional, position + 1
    assert additional < 28, "indefinite or reserved"
    size = 1 << (additional - 24)
    end = position + 1 + size
    return initial >> 5, int.from_bytes(data[position + 1 : end], "big"), end


def item_end(data, position):
    """The position behind a data item."""
    left = 1
    while left:
        major, argument, position = head(data, position)
        left -= 1
        if major in (2, 3):
            position += argument
        elif major == 4:
            left += argument
        elif major == 5:
            left += 2 * argument
        elif major == 6:
            left += 1
    return position


def _tree(data, position):
    initial = data[position]
    major, argument, position = head(data, position)
    if major == 0:
        return ("integer", argument), position
    if major == 1:
        return ("integer", -1 - argument), position
    if major in (2, 3):
        content = data[position : position + argument]
        if major == 3:
            content.decode()
        return ("bulk_string", content), position + argument
    if major == 4:
        elements = []
        for _ in range(argument):
            element, position = _tree(data, position)
            elements.append(element)
        return ("array", elements), position
    if major == 5:
        elements = []
        for _ in range(2 * argument):
            element, position = _tree(data, position)
            elements.append(element)
        return ("map", elements), position
    if major == 6:
        (_, content), position = _tree(data, position)
        if argument in _TAGS:
            return (_TAGS[argument], content), position
        if argument in (2, 3):
            number = int.from_bytes(content, "big")
            return ("integer", number if argument == 2 else -1 - number), position
        assert argument == 52503, f"tag {argument}"
        [(_, form), (_, text)] = content
        return ("verbatim_string", (form, text)), position
    if initial == 0xF6:
        return ("null", None), position
    if initial in (0xF4, 0xF5):
        return ("boolean", initial == 0xF5), position
    size = {0xF9: ">e", 0xFA: ">f", 0xFB: ">d"}[initial]
    return ("double", _number(struct.unpack(size, data[position - struct.calcsize(size) : position])[0])), position
