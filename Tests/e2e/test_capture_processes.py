# Whose bytes they are: attribution by fork, exec and exit, the filter by process, and our own pipeline left out.

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness.pipeline import tool
from harness.servers import free_port
from harness.streams import Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

# Says a word to a port; used as a short-lived program of its own.
SAY = "import socket,sys; s=socket.create_connection(('127.0.0.1',int(sys.argv[1]))); s.sendall(sys.argv[2].encode())"


@pytest.fixture
def sink():
    """A listener that accepts and reads in this process when asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


def hear(sink):
    connection, _ = sink.accept()
    with connection:
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    return data


def port_of(sink):
    return sink.getsockname()[1]


def clients(recording):
    return [flow for flow in recording.flows.values() if flow.role == "client"]


def test_a_program_that_lives_for_milliseconds(capture, redis):
    server = redis("--requirepass", "hidden-secret")
    running = capture(["--port", server.port])
    for number in range(20):
        command = ["redis-cli", "-p", str(server.port), "-a", "hidden-secret", "--no-auth-warning", "INCR", "n"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"%d\n" % (number + 1)
    running.stop()
    recording = Recording(running.output)
    seen = [recording.process_of(flow) for flow in clients(recording)]
    assert len(seen) == len({process["pid"] for process in seen}) == 20
    # The server goes on.
    assert sorted(recording.exits) == sorted(flow.process for flow in clients(recording))
    for process in seen:
        assert process["comm"] == "redis-cli"
        assert process["exe"] == os.path.realpath(shutil.which("redis-cli"))
        assert process["command_line"] == [
            "redis-cli", "-p", str(server.port), "-a", "***", "--no-auth-warning", "INCR", "n",
        ]  # fmt: skip
        assert process["parent"]["pid"] == os.getpid()
        assert (process["uid"], process["user"]) == (0, "root")
    servers = {flow.process for flow in recording.flows.values() if flow.role == "server"}
    assert len(servers) == 1
    assert recording.processes[servers.pop()]["pid"] == server.pid
    with open(running.output, "rb") as file:
        # It is in the bytes of AUTH, which are data, and nowhere else.
        assert file.read().count(b"hidden-secret") == 40


def test_a_connection_handed_to_a_child(capture, sink):
    running = capture(["--port", port_of(sink)])
    client = socket.create_connection(sink.getsockname())
    client.sendall(b"parent ")
    child = os.fork()
    if child == 0:
        client.sendall(b"child")
        os._exit(0)
    os.waitpid(child, 0)
    client.close()
    assert hear(sink) == b"parent child"
    running.stop()
    recording = Recording(running.output)
    (flow,) = clients(recording)
    users = {recording.processes[user]["pid"]: recording.processes[user] for user in flow.users}
    assert set(users) == {os.getpid(), child}
    assert users[child]["exe"] == users[os.getpid()]["exe"]
    assert users[child]["command_line"] == users[os.getpid()]["command_line"]
    assert users[child]["parent"]["pid"] == os.getpid()


def test_another_program_in_the_same_process(capture, sink):
    running = capture(["--port", port_of(sink)])
    script = (
        "import os,socket,sys; s=socket.create_connection(('127.0.0.1',int(sys.argv[1]))); s.sendall(b'before ');"
        "os.set_inheritable(s.fileno(), True); os.execv('/bin/sh',['/bin/sh','-c',f'echo after >&{s.fileno()}'])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(port_of(sink))])
    assert hear(sink) == b"before after\n"
    assert process.wait() == 0
    running.stop()
    recording = Recording(running.output)
    (flow,) = clients(recording)
    programs = {recording.processes[user]["exe"] for user in flow.users}
    assert programs == {os.path.realpath(sys.executable), os.path.realpath("/bin/sh")}
    assert {recording.processes[user]["pid"] for user in flow.users} == {process.pid}
    assert [recording.processes[ended]["exe"] for ended in recording.exits] == [
        os.path.realpath(sys.executable),
        os.path.realpath("/bin/sh"),
    ]


@pytest.mark.root
def test_a_process_that_changes_its_user(capture, sink):
    running = capture(["--port", port_of(sink)])
    script = f"import os; os.setgid(65534); {SAY.replace('s.sendall', 'os.setuid(65534); s.sendall')}"
    subprocess.run([sys.executable, "-c", script, str(port_of(sink)), "word"], check=True)
    assert hear(sink) == b"word"
    running.stop()
    recording = Recording(running.output)
    (flow,) = clients(recording)
    process = recording.process_of(flow)
    assert (process["uid"], process["gid"], process["user"]) == (65534, 65534, "nobody")


def test_a_child_that_is_gone_at_once(capture, sink):
    """Forked and over before anybody could look into /proc: all is known all the same, in a namespace of its own too."""
    running = capture(["--port", port_of(sink)])
    script = (
        "import os,socket,sys\n"
        "for _ in range(20):\n"
        "  if os.fork() == 0:\n"
        "    with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as s: s.sendall(b'%d' % os.getpid())\n"
        "    os._exit(0)\n"
        "  os.wait()\n"
    )
    inside = ["unshare", "--pid", "--fork"] if os.geteuid() == 0 else []
    subprocess.run([*inside, sys.executable, "-c", script, str(port_of(sink))], check=True)
    pids = [int(hear(sink)) for _ in range(20)]
    running.stop()
    recording = Recording(running.output)
    seen = [recording.process_of(flow) for flow in clients(recording)]
    assert [process["namespace_pid"] for process in seen] == pids
    assert {process["exe"] for process in seen} == {os.path.realpath(sys.executable)}
    assert all(process["cgroup"] and process["command_line"][1] == "-c" for process in seen)


def test_a_connection_that_nobody_used(capture, sink):
    """Accepted, and closed by the exit of the process: its record comes behind that of the exit."""
    running = capture(["--port", port_of(sink)])
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            sink.accept()
            os._exit(0)
        client = socket.create_connection(sink.getsockname())
        os.waitpid(child, 0)
        children.append(child)
        client.close()
    running.stop()
    recording = Recording(running.output)
    servers = [flow.process for flow in recording.flows.values() if flow.role == "server"]
    assert [recording.processes[server]["pid"] for server in servers] == children
    for server in servers:
        process = recording.processes[server]
        assert process["exe"] == os.path.realpath(sys.executable) and process["parent"]["pid"] == os.getpid()
        assert process["cgroup"] and process["namespace_pid"]
    assert set(servers) <= set(recording.exits)


def test_a_parent_that_is_gone(capture, sink):
    running = capture(["--port", port_of(sink)])
    script = f"import os,sys,time\nif os.fork(): os._exit(0)\ntime.sleep(1.5)\n{SAY}"
    parent = subprocess.Popen([sys.executable, "-c", script, str(port_of(sink)), "word"])
    assert parent.wait() == 0
    assert hear(sink) == b"word"
    running.stop()
    recording = Recording(running.output)
    (flow,) = clients(recording)
    name = open("/proc/self/comm").read().strip()
    process = recording.process_of(flow)
    assert process["parent"] == {"pid": parent.pid, "comm": process["comm"]}
    assert process["ancestors"][:2] == [process["comm"], name]


@pytest.mark.root
def test_an_exec_that_was_lost(capture, redis):
    """The ring is full while a shell becomes redis-cli: its commands are those of redis-cli all the same."""
    server = redis()
    shell = subprocess.Popen(
        ["sh", "-c", f"read x; exec redis-cli -p {server.port}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    running = capture(["--port", server.port, "--buffer", "256K"])
    os.kill(running.first.pid, signal.SIGSTOP)
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done"], check=True)
    shell.stdin.write(b"go\n")
    shell.stdin.flush()
    for _ in range(500):
        if open(f"/proc/{shell.pid}/comm").read() == "redis-cli\n":
            break
        time.sleep(0.01)
    os.kill(running.first.pid, signal.SIGCONT)
    time.sleep(0.5)
    shell.stdin.write(b"GET lost\n")
    shell.stdin.flush()
    time.sleep(0.2)
    shell.stdin.close()
    assert shell.wait(10) == 0
    running.stop()
    recording = Recording(running.output)
    assert any("starts and ends of processes were lost" in str(notice) for notice in recording.notices)
    (process,) = {id: recording.processes[id] for id in (flow.process for flow in clients(recording))}.values()
    assert (process["comm"], process["command_line"]) == ("redis-cli", ["redis-cli", "-p", str(server.port)])
    assert process["exe"] == os.path.realpath(shutil.which("redis-cli"))


def test_a_path_across_a_mount_and_a_long_command_line(capture, sink, tmp_path):
    deep = tmp_path / ("d" * 200) / ("e" * 200) / "programs"
    deep.mkdir(parents=True)
    shutil.copy("/bin/bash", deep / "shell")
    running = capture(["--port", port_of(sink)])
    filler = "x" * 6000
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port_of(sink)}; echo word >&3; : {filler}"
    subprocess.run([deep / "shell", "-c", script], check=True)
    assert hear(sink) == b"word\n"
    running.stop()
    recording = Recording(running.output)
    (flow,) = clients(recording)
    process = recording.process_of(flow)
    assert process["exe"] == str(deep / "shell")
    assert process["command_line_cut"] is True
    assert process["command_line"][2].startswith(script[:3000])


@pytest.mark.root
def test_a_program_in_a_root_of_its_own(capture, sink, tmp_path):
    """Known from its exec or from /proc alike: the path that it sees, and the host's; also when the file is gone."""
    (tmp_path / "jail" / "bin").mkdir(parents=True)
    program = tmp_path / "jail" / "bin" / "busybox"
    shutil.copy("/bin/busybox", program)
    command = ["chroot", str(tmp_path / "jail"), "/bin/busybox", "nc", "127.0.0.1", str(port_of(sink))]
    before = subprocess.Popen(command, stdin=subprocess.PIPE)
    connection, _ = sink.accept()
    moved = tmp_path / "busybox"
    shutil.copy("/bin/busybox", moved)
    gone = subprocess.Popen([moved, "nc", "127.0.0.1", str(port_of(sink))], stdin=subprocess.PIPE)
    other, _ = sink.accept()
    moved.unlink()
    running = capture(["--port", port_of(sink), "--direction", "egress"])
    after = subprocess.Popen(command, stdin=subprocess.PIPE)
    third, _ = sink.accept()
    for process, server in ((before, connection), (gone, other), (after, third)):
        process.stdin.write(b"word")
        process.stdin.close()
        assert server.recv(100) == b"word"
        server.close()
        process.wait(10)
    running.stop()
    recording = Recording(running.output)
    found = {process["pid"]: process for process in map(recording.process_of, clients(recording))}
    for process in (before, after):
        assert (found[process.pid]["exe"], found[process.pid]["host_exe"]) == ("/bin/busybox", str(program))
    assert found[gone.pid]["exe"] == str(moved) and "host_exe" not in found[gone.pid]


def test_a_process_and_its_children(capture, sink):
    def say(word):
        return [sys.executable, "-c", SAY, str(port_of(sink)), word]

    # Speaks itself and through children, those from before the capture and those that come later.
    script = (
        "import subprocess,sys\n"
        f"SAY={SAY!r}\n"
        "early=subprocess.Popen([sys.executable,'-c','import sys; sys.stdin.readline();'+SAY,sys.argv[1],'early'],"
        "stdin=subprocess.PIPE)\n"
        "sys.stdin.readline()\n"
        "early.communicate(b'go\\n')\n"
        "subprocess.run(['/bin/sh','-c','\"$@\"; true','sh',sys.executable,'-c',SAY,sys.argv[1],'late'])\n"
        "sys.argv[2]='self'\n"
        "exec(SAY)\n"
    )
    family = subprocess.Popen([sys.executable, "-c", script, str(port_of(sink)), ""], stdin=subprocess.PIPE)
    time.sleep(0.3)
    running = capture(["--pid", family.pid])
    subprocess.run(say("stranger"), check=True)
    family.stdin.write(b"go\n")
    family.stdin.flush()
    heard = [hear(sink) for _ in range(4)]
    assert heard == [b"stranger", b"early", b"late", b"self"]
    assert family.wait() == 0
    running.stop()
    recording = Recording(running.output)
    assert [bytes(flow.bytes(SENT)) for flow in recording.flows.values()] == [b"early", b"late", b"self"]
    assert all(flow.role == "client" for flow in recording.flows.values())


def test_bytes_of_a_process_that_is_left_out_are_a_gap_in_a_shared_flow(capture, sink):
    """A connection used by a traced child and by its parent, who is not: the books stay whole."""
    client = socket.create_connection(sink.getsockname())
    to_child, from_parent = os.pipe()
    done, tell = os.pipe()
    child = os.fork()
    if child == 0:
        for word in (b"child ", b"again"):
            os.read(to_child, 1)
            client.sendall(word)
            os.write(tell, b".")
        os._exit(0)
    running = capture(["--pid", child])
    client.sendall(b"parent ")
    for number in range(2):
        if number:
            client.sendall(b"parent ")
        os.write(from_parent, b".")
        assert os.read(done, 1) == b"."
    os.waitpid(child, 0)
    client.close()
    assert hear(sink) == b"parent child parent again"
    running.stop()
    (flow,) = clients(Recording(running.output))
    words = [run if isinstance(run, bytearray) else (run.length, run.reason) for run in flow.runs[SENT]]
    assert words == [(7, "filtered"), b"child ", (7, "filtered"), b"again"]


def test_a_process_that_does_not_exist(pipeline):
    gone = subprocess.Popen(["true"])
    gone.wait()
    running = pipeline([[tool("tap-capture"), "--pid", str(gone.pid)]])
    assert running.wait() == [64]
    assert f"there is no process {gone.pid}" in running.errors()


def test_a_thread_is_no_process(pipeline):
    """Chosen, it would never be seen: the kernel tells of processes."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        running = pipeline([[tool("tap-capture"), "--pid", str(thread.native_id)]])
        assert running.wait() == [64]
        assert f"{thread.native_id} is a thread of process {os.getpid()}" in running.errors()
    finally:
        done.set()
        thread.join()


def test_its_own_pipeline_is_left_out(tmp_path, capture, redis):
    """The last stage sends all that it reads over TCP: captured, that would never end."""
    server = redis()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = port_of(listener)
        # A stage between, so that the sender is found through two pipes.
        send = f"import socket,sys,shutil; s=socket.create_connection(('127.0.0.1',{port}));" + (
            "[s.sendall(c) for c in iter(lambda: sys.stdin.buffer.raw.read(65536), b'')]"
        )
        running = capture([], [["cat"], [sys.executable, "-c", send]])
        reader, _ = listener.accept()
        path = tmp_path / "sent.tap"
        receiver = subprocess.Popen(
            [sys.executable, "-c", "import shutil,sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"],
            stdin=reader, stdout=open(path, "wb"),
        )  # fmt: skip
        reader.close()
        time.sleep(1.3)
        with server.client() as client:
            client.call("PING")
        time.sleep(0.3)
        running.stop()
        assert receiver.wait(20) == 0
    recording = Recording(path)
    sender = running.processes[-1].pid
    assert sender not in {process["pid"] for process in recording.processes.values()}
    assert any(flow.remote[1] == server.port for flow in recording.flows.values())
    assert any(flow.bytes(RECEIVED) == b"+PONG\r\n" for flow in clients(recording) if flow.remote[1] == server.port)


def test_the_port_of_a_free_port_is_not_captured(capture, sink):
    running = capture(["--port", free_port()])
    subprocess.run([sys.executable, "-c", SAY, str(port_of(sink)), "word"], check=True)
    assert hear(sink) == b"word"
    running.stop()
    assert Recording(running.output).flows == {}
