# Which container made a call: real dockerd, podman and containerd, each with its state in a folder of the test.

import http.client
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import containers
from harness.pipeline import JSON, PRETTY, RESP, run
from harness.servers import redis_server_program

pytestmark = [pytest.mark.live, pytest.mark.root]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return containers.make_root(str(tmp_path_factory.mktemp("image")))


def _runtime(kind):
    @pytest.fixture(scope="module")
    def runtime(tmp_path_factory, root):
        # A short path: those of unix sockets have at most 107 bytes.
        started = kind(str(tmp_path_factory.mktemp("c") / "r"), root)
        yield started
        started.stop()

    return runtime


docker = _runtime(containers.Docker)
podman = _runtime(containers.Podman)
containerd = _runtime(containers.Containerd)


def seen(capture, key):
    """The exchanges of `capture` so far whose command asked for `key`, at the client."""
    with open(capture.output) as file:
        text = file.read()
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return [line for line in lines if line.get("args") == [key] and line["direction"] == "egress"]


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def lives(capture, port):
    return capture(["--port", port], [RESP, JSON])


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_before_after_renamed_and_started_again(kind, request, redis, capture):
    runtime = request.getfixturevalue(kind)
    image = {"docker": "tap/busybox:1", "podman": "localhost/tap/busybox:2"}[kind]
    server = redis()
    name = f"user-service-{kind}"
    identifier = runtime.run(
        "-d", "--name", name, "--label", "team=a", "--user", "4321", command=containers.send_forever(server.port, "before")
    )
    watch = lives(capture, server.port)
    process = wait_for(lambda: seen(watch, "before"))[0]["process"]
    # The very first line is named: containers that are there by then are looked up before the capture begins.
    assert process["container"] == name and process["container_id"] == identifier
    assert process["container_runtime"] == kind and process["image"] == image
    assert process["image_digest"].startswith("sha256:")
    assert process["comm"] == "nc" and process["user"] == "service" and process["uid"] == 4321
    assert process["namespace_pid"] not in (process["pid"], 0)
    assert identifier in process["cgroup"] and "labels" not in process and process["ancestors"][0] == "sh"

    runtime.run("--rm", "--name", f"{name}-once", command=containers.send_once(server.port, "after"))
    once = wait_for(lambda: seen(watch, "after"))[0]["process"]
    assert once["container"] == f"{name}-once" and once["user"] == "root" and once["image"] == image

    runtime("rename", name, f"{name}-2")
    wait_for(lambda: seen(watch, "before")[-1]["process"]["container"] == f"{name}-2")
    # Another container under the old name; the first one stopped and started again.
    runtime("stop", "-t", "0", f"{name}-2")
    second = runtime.run("-d", "--name", name, command=containers.send_forever(server.port, "second"))
    process = wait_for(lambda: seen(watch, "second"))[0]["process"]
    assert (process["container"], process["container_id"]) == (name, second)
    count = len(seen(watch, "before"))
    runtime("start", f"{name}-2")
    again = wait_for(lambda: seen(watch, "before")[count:])[0]["process"]
    assert (again["container"], again["container_id"]) == (f"{name}-2", identifier)
    watch.stop()
    runtime("rm", "-f", name, f"{name}-2")


def test_labels_when_asked_for(docker, redis, capture, tmp_path):
    server = redis()
    recording = capture(["--port", server.port])
    docker.run("--rm", "--name", "labelled", "--label", "team=a", "--label", "x=y z", command=containers.send_once(server.port, "k"))
    recording.stop()
    output = run([RESP, [*JSON, "--labels"]], tmp_path / "labels", stdin=recording.output)
    clients = [line["process"] for line in map(json.loads, output.splitlines()) if line["direction"] == "egress"]
    assert [process["labels"] for process in clients] == [{"team": "a", "x": "y z"}]
    assert run([RESP, PRETTY], tmp_path / "pretty", stdin=recording.output).decode().count("■ labelled/nc → GET k") == 1


def test_pods_from_annotations_as_the_kubelet_has_them_written(containerd, redis, capture):
    server = redis()
    identifier, sandbox = "a1" * 32, "b2" * 32
    uid = "2b6a2a4b-9d3e-4c57-8a4f-0d1c2e3f4a5b"
    containerd.start(
        identifier, containers.send_forever(server.port, "pod"), namespace="k8s.io",
        cgroup=f"/kubepods/burstable/pod{uid}/{identifier}",
        annotations={
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "registry.example/shop/web:7",
            "io.kubernetes.cri.sandbox-id": sandbox,
            "io.kubernetes.cri.sandbox-name": "shop-7d9f",
            "io.kubernetes.cri.sandbox-namespace": "prod",
        },
    )  # fmt: skip
    containerd.start("plain", containers.send_forever(server.port, "plain"))
    watch = lives(capture, server.port)
    pod = wait_for(lambda: seen(watch, "pod"))[0]["process"]
    plain = wait_for(lambda: seen(watch, "plain"))[0]["process"]
    watch.stop()
    expected = {
        "container": "web", "container_id": identifier, "container_runtime": "containerd", "pod": "shop-7d9f",
        "namespace": "prod", "pod_uid": uid, "image": "registry.example/shop/web:7", "user": "root",
    }  # fmt: skip
    assert {name: pod.get(name) for name in expected} == expected
    assert plain["container"] == "plain" and plain["container_id"] == "plain"


def test_names_that_are_meant_to_break_out(containerd, redis, capture, tmp_path):
    server = redis()
    name = 'a"}\n\x1b[2J\x1b]0;owned\x07\u202e\\'
    containerd.start(
        "c3" * 32, containers.send_forever(server.port, "k"), namespace="k8s.io",
        annotations={"io.kubernetes.cri.container-name": name, "io.kubernetes.cri.sandbox-name": "p\r\x00" + "x" * 900},
    )  # fmt: skip
    recording = capture(["--port", server.port])
    time.sleep(0.5)
    recording.stop()
    lines = run([RESP, JSON], tmp_path / "json", stdin=recording.output).splitlines()
    processes = [line["process"] for line in map(json.loads, lines) if line["direction"] == "egress"]
    assert processes and all(process["container"] == name for process in processes)
    pretty = run([RESP, PRETTY], tmp_path / "pretty", stdin=recording.output)
    assert not set(pretty) & (set(range(32)) - {10} | {127}) and "\u202e" not in pretty.decode()
    assert len(pretty.splitlines()) == len(lines)


def _create_with_label(docker_socket, command, name, label_bytes):
    """Through the daemon's socket: a command line has no room for such a label."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(docker_socket)
    body = {
        "Image": "tap/busybox:1", "Cmd": command, "Labels": {"big": "x" * label_bytes, "small": "y"},
        "HostConfig": {"NetworkMode": "host", "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]},
    }  # fmt: skip
    connection.request("POST", f"/containers/create?name={name}", json.dumps(body), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 201


def test_a_huge_label_and_a_daemon_that_hangs(docker, redis, capture, tmp_path):
    server = redis()
    _create_with_label(docker.socket, containers.send_forever(server.port, "huge"), "huge", 10 << 20)
    docker("start", "huge")
    os.kill(docker.pid, signal.SIGSTOP)
    try:
        recording = capture(["--port", server.port])
        time.sleep(0.5)
        recording.stop()
    finally:
        os.kill(docker.pid, signal.SIGCONT)
    lines = run([RESP, [*JSON, "--labels"]], tmp_path / "json", stdin=recording.output).splitlines()
    processes = [line["process"] for line in map(json.loads, lines) if line["direction"] == "egress"]
    assert processes and max(map(len, lines)) < 8192
    for process in processes:
        assert process["container"] == "huge" and process["labels"] == {"small": "y"} and process["labels_omitted"] == 1
    docker("rm", "-f", "huge")


def test_state_that_cannot_be_read_costs_the_name_only(containerd, redis, capture):
    server = redis()
    identifier = "d4" * 32
    containerd.start(identifier, containers.send_forever(server.port, "k"), namespace="k8s.io")
    state = containerd.bundle(identifier, "k8s.io") + "/config.json"
    content = open(state).read()
    os.remove(state)
    os.mkfifo(state)
    try:
        watch = lives(capture, server.port)
        process = wait_for(lambda: seen(watch, "k"))[0]["process"]
        assert process["container_id"] == identifier and "container" not in process
        watch.stop()
    finally:
        os.remove(state)
        open(state, "w").write(content)


def pod_annotations(name, pod, namespace):
    return {
        "io.kubernetes.cri.container-name": name, "io.kubernetes.cri.sandbox-name": pod,
        "io.kubernetes.cri.sandbox-namespace": namespace, "io.kubernetes.cri.image-name": "registry.example:5000/shop/web:7",
    }  # fmt: skip


def commands_of(directory, recording):
    """The keys asked for in a recording, with the containers that asked."""
    lines = map(json.loads, run([RESP, JSON], directory, stdin=recording.output).splitlines())
    return {(line["args"][0], line["process"].get("container")) for line in lines}


# The containers of each choice have its name in theirs: those of the others go on running.
CHOICES = {
    "name": ["--container", "early-name", "--container", "late-name"],
    "image": ["--container", "registry.example:5000/shop/web"],
    "pod": ["--pod", "pod-of-early-pod", "--pod", "pod-of-late-pod"],
    "namespace": ["--namespace", "shop-namespace"],
    "several": ["--namespace", "shop-several", "--pod", "pod-of-late-several", "--user", "root"],
}


@pytest.mark.parametrize("choice", CHOICES)
def test_filters_take_containers_that_start_later(choice, containerd, redis, capture, tmp_path):
    """Before and after the start of the capture: a container that is chosen, one that is not, and a process without any."""
    server = redis()
    number = list(CHOICES).index(choice)

    def start(when, digit, is_other=False):
        name = f"{when}-{choice}"
        annotations = pod_annotations(name, f"pod-of-{name}", "elsewhere" if is_other else f"shop-{choice}")
        if is_other:
            annotations["io.kubernetes.cri.image-name"] = "registry.example:5000/shop/web-other:7"
        identifier = f"{number}{digit}" * 32
        containerd.start(
            identifier, containers.send_forever(server.port, when), namespace="k8s.io", annotations=annotations,
            cgroup=f"/kubepods/pod{number}/{identifier}",
        )  # fmt: skip

    start("early", "a")
    start("early-other", "b", is_other=True)
    recording = capture(["--port", server.port, "--direction", "egress", *CHOICES[choice]])
    assert ("no container matches" in recording.errors()) == (choice in ("name", "pod", "several"))
    subprocess.run(["redis-cli", "-p", str(server.port), "GET", "host"], check=True, stdout=subprocess.DEVNULL)
    start("late", "c")
    start("late-other", "d", is_other=True)
    time.sleep(1)
    recording.stop()
    chosen = ["late"] if choice == "several" else ["early", "late"]
    assert commands_of(tmp_path / "keys", recording) == {(when, f"{when}-{choice}") for when in chosen}


def test_the_first_command_of_a_chosen_container_is_not_lost(podman, redis, capture, tmp_path):
    server = redis()
    recording = capture(["--port", server.port, "--container", "wanted"])
    for name in ("unwanted", "wanted"):
        podman.run("--rm", "--name", name, command=containers.send_once(server.port, name))
    recording.stop()
    assert commands_of(tmp_path / "keys", recording) == {("wanted", "wanted")}


def test_the_name_of_an_address_is_that_of_its_container(containerd, redis, capture, tmp_path):
    """A cable between the container's network and another one, where a listener waits that is in no container."""
    script = "ip link set lo up && echo ready && exec sleep 60"
    keepers = [subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE) for _ in range(2)]
    listener = None
    try:
        for keeper in keepers:
            assert keeper.stdout.readline() == b"ready\n"
        inside, outside = (["nsenter", "--net", "--target", str(keeper.pid)] for keeper in keepers)
        cable = ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(keepers[1].pid)]
        subprocess.run([*inside, *cable], check=True)
        for enter, address, link in ((inside, "10.78.0.1", "v0"), (outside, "10.78.0.2", "v1")):
            subprocess.run([*enter, "ip", "address", "add", f"{address}/24", "dev", link], check=True)
            subprocess.run([*enter, "ip", "link", "set", link, "up"], check=True)
        server = redis_server_program(str(tmp_path))
        options = ["--bind", "10.78.0.2", "--save", "", "--protected-mode", "no", "--dir", str(tmp_path), "--logfile", "log"]
        listener = subprocess.Popen([*outside, server, *options], stdin=subprocess.DEVNULL)
        command = containers.send_forever(6379, "k")
        containerd.start(
            "e5" * 32, [command[0], command[1], command[2].replace("127.0.0.1", "10.78.0.2")], namespace="k8s.io",
            annotations=pod_annotations("web", "web-pod", "shop"), network=f"/proc/{keepers[0].pid}/ns/net",
        )  # fmt: skip
        watch = lives(capture, 6379)
        line = wait_for(lambda: seen(watch, "k"))[0]
        watch.stop()
    finally:
        for process in [*keepers, listener]:
            if process:
                process.kill()
                process.wait()
    assert line["client"].startswith("10.78.0.1:") and line["client_name"] == "web-pod" and "server_name" not in line
    assert line["peer"]["pid"] == listener.pid
