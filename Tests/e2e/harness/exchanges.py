# Reads what `tap-fmt --json` wrote, and says what it should have written for a reply that a raw client received.

import base64
import json
import math
from collections import Counter

from .resp import BigNumber, Double, Error, Map, Push, Set, Simple, Verbatim

# Commands whose statistics redis keeps by subcommand.
CONTAINERS = {"CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "MEMORY", "OBJECT", "SCRIPT"}


def lines(path):
    """Every line as an object, in order."""
    with open(path, "rb") as file:
        for line in file:
            yield json.loads(line)


def exchanges(path, direction=None):
    """The exchanges among the lines."""
    for line in lines(path):
        if "command" in line and direction in (None, line["direction"]):
            yield line


def counted(path, direction):
    """How often each command was seen on one side, named as INFO commandstats names it."""
    names = Counter()
    for exchange in exchanges(path, direction):
        name = exchange["command"].upper()
        names[f"{name} {exchange['args'][0].upper()}" if name in CONTAINERS else name] += 1
    return names


def command_statistics(client):
    """How often the server ran each command, without the INFO that asks."""
    names = Counter()
    for line in client.call("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_"):
            name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
            names[name.upper().replace("|", " ")] = int(rest.split(",")[0])
    return names


def as_bytes(value):
    """The bytes that a string of the JSON output stands for."""
    if isinstance(value, str):
        return value.encode()
    assert set(value) == {"base64"}, f"no string: {str(value)[:200]}"
    return base64.b64decode(value["base64"], validate=True)


def json_string(data):
    """Bytes as the JSON output shows them."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _inner(value):
    """A value inside an aggregate, where JSON keeps the types."""
    if isinstance(value, Error):
        return {"error": json_string(value)}
    if isinstance(value, (Map, Set, Push, list)):
        return _aggregate(value)
    if isinstance(value, Double):
        number = float(value)
        return number if math.isfinite(number) else value.decode()
    if isinstance(value, bytes):
        return json_string(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    return value


def _aggregate(value):
    if not isinstance(value, Map):
        return [_inner(element) for element in value]
    keys = [json_string(key) if isinstance(key, bytes) else key for key, _ in value]
    if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
        return {key: _inner(element) for key, (_, element) in zip(keys, value)}
    return {"map": [[_inner(key), _inner(element)] for key, element in value]}


def expected_response(reply):
    """(response_type, response_value) for a reply as harness.resp reads it."""
    if reply is None:
        return "null", None
    if isinstance(reply, bool):
        return "boolean", "true" if reply else "false"
    if isinstance(reply, int):
        return "integer", str(reply)
    for kind, name in ((Map, "map"), (Set, "set"), (Push, "push"), (list, "array")):
        if isinstance(reply, kind):
            return name, _aggregate(reply)
    for kind, name in (
        (Simple, "simple_string"), (Error, "error"), (Double, "double"), (BigNumber, "big_number"),
        (Verbatim, "verbatim_string"), (bytes, "bulk_string"),
    ):  # fmt: skip
        if isinstance(reply, kind):
            return name, json_string(bytes(reply))
    raise AssertionError(f"no such reply: {reply!r}")


def expected_exchange(arguments, reply):
    """What must stand in the JSON object for a command and its reply."""
    words = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    kind, value = expected_response(reply)
    return {
        "command": words[0].decode().upper(),
        "args": [json_string(word) for word in words[1:]],
        "response_type": kind,
        "response_value": value,
    }


def seen_exchange(exchange):
    """The part of a JSON object that `expected_exchange` gives."""
    return {name: exchange[name] for name in ("command", "args", "response_type", "response_value")}


def by_client(path, direction):
    """Exchanges of each client address, in order."""
    found = {}
    for exchange in exchanges(path, direction):
        found.setdefault(exchange["client"], []).append(exchange)
    return found
