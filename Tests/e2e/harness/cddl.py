# Checks frames against docs/tapwire.cddl with an independent CDDL tool, pycddl.

import os
import re

import cbor2
import pycddl

from .pipeline import ROOT

_GRAMMAR = os.path.join(ROOT, "docs", "tapwire.cddl")
_KINDS = ["hello", "process", "flow", "data", "gap", "close", "exchange", "notice", "end", "connection", "exit"]
_TAGGED = re.compile(r"#6\.(\d+)\(")


class Grammar:
    """The frames of the CDDL file.

    pycddl (0.6.4) counts `? entry` and `* any` in an array as exactly one element, and takes any tag where a choice has
    simpler types too. So the array of each frame is written out for the length at hand, and tags are compared here.
    """

    def __init__(self):
        with open(_GRAMMAR) as file:
            self._text = re.sub(r";.*", "", file.read())
        self._tags = {int(number) for number in _TAGGED.findall(self._text)} | {2, 3}
        self._schemas = {}

    def check(self, frame):
        """Raises where the bytes of a frame (without the head of its byte string) break the grammar."""
        decoded = cbor2.loads(frame)
        kind = decoded[0]
        rule = (_KINDS[kind] if kind < len(_KINDS) else "later") + "-frame"
        key = rule, len(decoded)
        if key not in self._schemas:
            self._schemas[key] = pycddl.Schema(self._written_out(*key))
        self._schemas[key].validate_cbor(frame)
        for item in _tags_in(frame):
            assert item in self._tags, f"tag {item} is not in the grammar: {decoded}"

    def _written_out(self, rule, length):
        body = re.search(rf"^{rule} = \[\n(.*?)^\]", self._text, re.M | re.S).group(1)
        entries = [line.strip().rstrip(",") for line in body.splitlines() if line.strip()]
        assert entries.pop() == "* any", f"{rule} has no room for later fields"
        required = [entry for entry in entries if not entry.startswith("?")]
        optional = [entry[1:].strip() for entry in entries if entry.startswith("?")]
        assert length >= len(required), f"a {rule} of {length} elements; expected at least {len(required)}"
        chosen = required + optional[: length - len(required)]
        chosen += [f"later{index}: any" for index in range(length - len(chosen))]
        return f"root = [{', '.join(chosen)}]\n{self._text}"


def _tags_in(frame):
    """The tag numbers anywhere in an item."""
    found = []

    def visit(data, position):
        initial = data[position]
        major, info = initial >> 5, initial & 31
        position += 1
        argument = info
        if info >= 24:
            width = 1 << (info - 24)
            argument = int.from_bytes(data[position : position + width], "big")
            position += width
        if major in (2, 3):
            return position + argument
        if major == 6:
            found.append(argument)
        for _ in range({4: argument, 5: 2 * argument, 6: 1}.get(major, 0)):
            position = visit(data, position)
        return position

    visit(frame, 0)
    return found
