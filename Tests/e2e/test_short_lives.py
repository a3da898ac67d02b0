# Processes that are gone before anybody could look into /proc: who made the call is known all the same.

import os
import shutil
import statistics
import subprocess
import time

import pytest

from harness.exchanges import exchanges
from harness.pipeline import JSON, RESP

pytestmark = [pytest.mark.live, pytest.mark.root]

# One command, its reply, and gone.
CLIENT = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char text[256];
  int length = snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(arguments[2]), arguments[2]);
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&server, sizeof(server)) || write(connection, text, length) != length)
    return 1;
  return read(connection, text, sizeof(text)) != 5;
}
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A program without libraries to load: it lives for about a millisecond."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "client.c").write_text(CLIENT)
    program = str(folder / "short-lived")
    subprocess.run(["gcc", "-O1", "-static", "-o", program, str(folder / "client.c")], check=True)
    return program


def test_a_thousand_processes_that_live_for_a_moment(client, redis, capture):
    server = redis()
    watch = capture(["--port", server.port], [RESP, JSON])
    started, lives = [], []
    for number in range(1000):
        words = [client, str(server.port), f"key:{number}"]
        begin = time.monotonic()
        pid = os.posix_spawn(client, words, {})
        _, status = os.waitpid(pid, 0)
        lives.append(time.monotonic() - begin)
        assert status == 0
        started.append((pid, words))
    watch.stop()
    # Also what the start of a process takes is in there.
    assert statistics.median(lives) < 0.005
    for direction, member in (("egress", "process"), ("ingress", "peer")):
        found = {}
        for exchange in exchanges(watch.output, direction):
            found.setdefault(exchange["args"][0], []).append(exchange[member])
        assert len(found) == 1000
        for pid, words in started:
            (process,) = found[words[2]]
            assert (process["pid"], process["exe"], process["command_line"]) == (pid, client, words)
            assert process["comm"] == "short-lived" and process["namespace_pid"] and process["cgroup"]
            assert process["parent"] == {"pid": os.getpid(), "comm": process["ancestors"][0]}


def test_a_pid_that_comes_back(client, redis, capture, tmp_path):
    """The kernel is told which number to give next; somebody else may be faster, so several tries."""
    server = redis()
    other = str(tmp_path / "another-program")
    shutil.copy(client, other)
    watch = capture(["--port", server.port], [RESP, JSON])
    for attempt in range(100):
        first = os.posix_spawn(client, [client, str(server.port), f"first:{attempt}"], {})
        assert os.waitpid(first, 0)[1] == 0
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(first - 1))
        second = os.posix_spawn(other, [other, str(server.port), f"second:{attempt}"], {})
        assert os.waitpid(second, 0)[1] == 0
        if first == second:
            break
    watch.stop()
    assert first == second, "no pid came back in 100 tries"
    ends = {line["args"][0]: line["process"] for line in exchanges(watch.output, "egress")}
    before, after = ends[f"first:{attempt}"], ends[f"second:{attempt}"]
    assert before["pid"] == after["pid"] == first and before["start_time"] < after["start_time"]
    assert (before["exe"], after["exe"]) == (client, other)
    assert (before["comm"], after["comm"]) == ("short-lived", "another-program")
