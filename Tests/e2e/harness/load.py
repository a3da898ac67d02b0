# Load that verifies itself: every key is used once and every value names its key, so that a wrong pair cannot hide.

import threading

from .resp import command


def value_for(key, length):
    """Text of exactly `length` bytes in which the key can be found anywhere."""
    unit = key + b"|"
    return (unit * (length // len(unit) + 1))[:length]


class Span:
    """Where a command and its reply stand in the streams of their connection."""

    __slots__ = ("arguments", "reply", "request", "response")

    def __init__(self, arguments, reply, request, response):
        self.arguments, self.reply, self.request, self.response = arguments, reply, request, response


class Conversation:
    """One connection's commands, sent in pipelines, with the position of every byte kept."""

    def __init__(self, client):
        self.client = client
        self.spans = []

    def exchange(self, commands):
        """Sends the commands as one pipeline and reads all replies."""
        start = self.client.sent_bytes
        encoded = [command(*arguments) for arguments in commands]
        self.client.send(b"".join(encoded))
        for arguments, request in zip(commands, encoded):
            before = self.client.consumed_bytes
            reply = self.client.read()
            self.spans.append(
                Span(arguments, reply, (start, start + len(request)), (before, self.client.consumed_bytes))
            )
            start += len(request)
        return [span.reply for span in self.spans[-len(commands) :]]


def run_in_threads(functions):
    """Runs all at once; the first failure is raised here."""
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
