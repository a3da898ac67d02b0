# Which container made a call: real dockerd, podman and containerd, each with its state in a folder of the test.

import ctypes
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
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
rootless_podman = _runtime(containers.RootlessPodman)


@pytest.fixture
def kept(tmp_path):
    """Starts containers that the test itself keeps: `kept(1, command)`; the number gives the id."""
    started = []

    def start(number, command, groups=None, **options):
        identifier = f"{number:064x}"
        directory = tmp_path / f"kept{number}"
        groups = groups or [f"{containers.hierarchy()}/docker-{identifier}.scope"]
        started.append(containers.Kept(str(directory), identifier, command, groups, **options))
        return started[-1]

    yield start
    for container in started:
        container.stop()


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


def asking(port, key, host="127.0.0.1", times=None):
    """Programs of the machine that ask for `key`, each in a process of its own: as often, or until they are ended."""
    count = f"[ $i -lt {times} ]" if times else ":"
    client = f"redis-cli -h {host} -p {port} GET {key}"
    return ["sh", "-c", f"i=0; while {count}; do {client}; i=$((i+1)); sleep 0.05; done"]


def names(lines):
    return {line["process"].get("container") for line in lines}


def test_a_command_started_in_a_container_leaves_its_name_alone(podman, redis, capture, tmp_path):
    """`podman exec` has a conmon of its own, and so has each health check. The container itself executes nothing meanwhile."""
    server = redis()
    pipe = tmp_path / "data" / "commands"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    for path, mode in ((pipe.parent, 0o755), (pipe, 0o644)):
        os.chmod(path, mode)
    command = ["sh", "-c", f"exec nc 127.0.0.1 {server.port} </data/commands >/dev/null"]
    watch = capture(["--port", server.port, "--container", "localhost/tap/busybox"], [RESP, JSON])
    podman.run("-d", "--name", "svc", "--user", "4321", "-v", f"{pipe.parent}:/data", command=command)
    # Open in both directions: that waits for nobody.
    with open(os.open(pipe, os.O_RDWR), "w", buffering=1) as commands:
        commands.write("GET before\r\n")
        wait_for(lambda: seen(watch, "before"))
        podman("exec", "svc", "sh", "-c", f"sleep 1.2; {containers.send_once(server.port, 'exec')[2]}")
        # The look of each second finds its conmon gone.
        time.sleep(2.5)
        commands.write("GET after\r\n")
        wait_for(lambda: seen(watch, "after"))
        watch.stop()
    for key in ("before", "exec", "after"):
        process = seen(watch, key)[0]["process"]
        assert (process["container"], process["image"]) == ("svc", "localhost/tap/busybox:2"), key
        assert "image_digest" in process
    podman("rm", "-f", "-t", "0", "svc")


def test_rootless_podman(rootless_podman, redis, capture):
    server = redis()
    rootless_podman.run("-d", "--name", "early", command=containers.send_forever(server.port, "early"))
    watch = lives(capture, server.port)
    early = wait_for(lambda: seen(watch, "early"))[0]["process"]
    identifier = rootless_podman.run("-d", "--name", "late", command=containers.send_forever(server.port, "late"))
    late = wait_for(lambda: seen(watch, "late"))[0]["process"]
    rootless_podman("rename", "late", "renamed")
    wait_for(lambda: seen(watch, "late")[-1]["process"]["container"] == "renamed")
    watch.stop()
    for name, process in (("early", early), ("late", late)):
        assert (process["container"], process["container_runtime"]) == (name, "podman")
        assert process["image"] == "localhost/tap/busybox:3" and process["image_digest"].startswith("sha256:")
        # The container's root is the user.
        assert process["uid"] == rootless_podman.uid and process["user"] == "root"
    assert late["container_id"] == identifier


def test_a_container_of_crio(kept, redis, capture, tmp_path):
    """Files, command line and control group as CRI-O has them; there is no CRI-O here."""
    server = redis()
    uid = "2b6a2a4b-9d3e-4c57-8a4f-0d1c2e3f4a5b"
    labels = {
        "app": "shop", "io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "shop-7d9f",
        "io.kubernetes.pod.namespace": "prod", "io.kubernetes.pod.uid": uid,
    }  # fmt: skip
    configuration = {
        "ociVersion": "1.0.2",
        "process": {"args": ["/web"], "cwd": "/"},
        "root": {"path": "/nowhere"},
        "mounts": [{"destination": "/etc/hosts", "source": f"/var/lib/kubelet/pods/{uid}/etc-hosts"}],
        "annotations": {
            **{name: value for name, value in labels.items() if name != "app"},
            "io.container.manager": "cri-o",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.ImageName": "registry.example/shop/web:7",
            "io.kubernetes.cri-o.ImageRef": "cd" * 32,
            "io.kubernetes.cri-o.Labels": json.dumps(labels),
            "io.kubernetes.cri-o.Name": f"k8s_web_shop-7d9f_prod_{uid}_0",
        },
    }
    group = f"{containers.hierarchy()}/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/crio-{0xC1:064x}.scope"
    kept(
        0xC1, asking(server.port, "k"), [group], name=f"k8s_web_shop-7d9f_prod_{uid}_0", configuration=json.dumps(configuration)
    )  # fmt: skip
    try:
        recording = capture(["--port", server.port, "--namespace", "prod"])
        time.sleep(0.5)
        recording.stop()
    finally:
        containers.remove_group(f"{containers.hierarchy()}/kubepods.slice")
    lines = run([RESP, [*JSON, "--labels"]], tmp_path / "json", stdin=recording.output).splitlines()
    process = [line["process"] for line in map(json.loads, lines) if line["direction"] == "egress"][0]
    expected = {
        "container": "web", "container_id": f"{0xC1:064x}", "container_runtime": "cri-o", "pod": "shop-7d9f",
        "namespace": "prod", "pod_uid": uid, "image": "registry.example/shop/web:7", "image_digest": "sha256:" + "cd" * 32,
        "labels": labels,
    }  # fmt: skip
    assert {name: process.get(name) for name in expected} == expected


def test_the_name_that_nerdctl_gives(containerd, redis, capture):
    """nerdctl passes its labels to the runtime as annotations."""
    server = redis()
    containerd.start(
        "f6" * 32, containers.send_forever(server.port, "k"),
        annotations={"nerdctl/name": "web", "nerdctl/namespace": "default", "nerdctl/hostname": "f6f6f6f6f6f6"},
    )  # fmt: skip
    watch = lives(capture, server.port)
    process = wait_for(lambda: seen(watch, "k"))[0]["process"]
    watch.stop()
    assert (process["container"], process["container_runtime"]) == ("web", "containerd")


def test_a_container_keeps_its_name_when_its_keeper_dies(kept, redis, capture):
    server = redis()
    container = kept(1, asking(server.port, "k"), name="thename")
    watch = lives(capture, server.port)
    wait_for(lambda: seen(watch, "k"))
    container.end_keeper()
    time.sleep(2.5)
    count = len(seen(watch, "k"))
    wait_for(lambda: len(seen(watch, "k")) > count + 5)
    assert names(seen(watch, "k")[count:]) == {"thename"}
    watch.stop()


HOSTILE = {
    "annotations": lambda: '{"annotations":{' + ",".join(f'"{index:x}":0' for index in range(1_300_000)) + "}}",
    "numbers": lambda: '{"mounts":[' + ",".join("1" * 8_000_000) + "]}",
    "arrays": lambda: '{"annotations":[' + ",".join(["[]"] * 5_000_000) + "]}",
    "objects": lambda: '{"mounts":[' + ",".join(["{}"] * 5_000_000) + "]}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_cost_a_parser_most(kind, kept, redis, capture):
    """Any user may start a conmon. Its files cost neither memory nor the processors, however often they are written."""
    server = redis()
    hostile = [kept(number, asking(server.port, "k"), configuration=HOSTILE[kind]()) for number in range(1, 5)]
    watch = capture(["--port", server.port, "--direction", "egress"])
    pid = watch.first.pid

    def processor_seconds():
        with open(f"/proc/{pid}/stat") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def anonymous_bytes():
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon"))

    time.sleep(2)
    before, start, peak = processor_seconds(), time.monotonic(), 0
    while time.monotonic() - start < 4:
        for container in hostile:
            os.utime(f"{container.bundle}/config.json")
            container.rename("again")
        peak = max(peak, anonymous_bytes())
        time.sleep(0.02)
    assert peak < 64 << 20
    # A fifth of one, and what the capture itself takes.
    assert processor_seconds() - before < 0.5 * (time.monotonic() - start)
    watch.stop()


def hierarchies_of_version_1():
    found = [containers.hierarchy(kind) for kind in ("name=systemd", "pids")]
    if not all(found):
        pytest.skip("control groups of version 1 are not mounted here")
    return found


SHORT_LIVES = """
import os, socket, sys, time
for _ in range(50):
    if os.fork() == 0:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
            server.sendall(b"GET fork\\r\\n")
            server.recv(100)
        os._exit(0)
    time.sleep(0.02)
    os.wait()
"""


def test_short_lives_in_control_groups_of_version_1(kept, redis, capture, tmp_path):
    """A process that has exited is nowhere in version 1: it is where it was."""
    server = redis()
    identifier = f"{2:064x}"
    groups = [f"{root}/docker/{identifier}" for root in hierarchies_of_version_1()]
    recording = capture(["--port", server.port, "--direction", "egress"])
    forks = kept(2, [sys.executable, "-c", SHORT_LIVES, server.port], groups, name="short")
    forks.process.wait(30)
    recording.stop()
    lines = [json.loads(line) for line in run([RESP, JSON], tmp_path / "json", stdin=recording.output).splitlines()]
    assert len(lines) == 50 and names(lines) == {"short"}
    assert {line["process"]["container_id"] for line in lines} == {identifier}


def test_containers_whose_group_of_version_2_is_a_service(kept, redis, capture, tmp_path):
    """Beside version 1 a runtime may leave its containers in its own group of version 2, with processes in no container."""
    server = redis()
    service = f"{containers.hierarchy()}/tap-e2e.service"
    roots = hierarchies_of_version_1()
    os.makedirs(service)
    # A process of the runtime itself, whose connections are none of a container's.
    script = f"echo 0 > {service}/cgroup.procs && exec {shlex.join(asking(server.port, 'own'))}"
    own = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL)
    try:
        everything = capture(["--port", server.port, "--direction", "egress"])
        chosen = capture(["--port", server.port, "--direction", "egress", "--container", "wanted"])
        time.sleep(0.5)
        for number, name in ((3, "wanted"), (4, "unwanted")):
            groups = [service] + [f"{root}/docker/{number:064x}" for root in roots]
            container = kept(number, asking(server.port, name, times=20), groups, name=name)
            container.process.wait(30)
        everything.stop()
        chosen.stop()
    finally:
        own.kill()
        own.wait()
        containers.remove_group(service)
    pairs = commands_of(tmp_path / "everything", everything)
    assert pairs == {("own", None), ("wanted", "wanted"), ("unwanted", "unwanted")}
    lines = run([RESP, JSON], tmp_path / "chosen", stdin=chosen.output).splitlines()
    assert [json.loads(line)["args"] for line in lines] == [["wanted"]] * 20


def test_a_container_renamed_to_a_chosen_name_while_others_start(kept, redis, capture):
    server = redis()
    container = kept(1, asking(server.port, "a"), name="other")
    watch = capture(["--port", server.port, "--container", "chosen", "--direction", "egress"], [RESP, JSON])
    is_over = threading.Event()

    def start_others():
        number = 100
        while not is_over.is_set():
            number += 1
            kept(number, asking(server.port, "b", times=1)).process.wait(30)

    churn = threading.Thread(target=start_others)
    churn.start()
    try:
        time.sleep(0.5)
        assert not seen(watch, "a")
        container.rename("chosen")
        time.sleep(2.5)
        count = len(seen(watch, "a"))
        wait_for(lambda: len(seen(watch, "a")) > count)
    finally:
        is_over.set()
        churn.join()
    assert names(seen(watch, "a")) == {"chosen"} and not seen(watch, "b")
    watch.stop()


def test_file_systems_that_hang_take_the_names_of_their_own_containers_only(kept, redis, capture, tmp_path):
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no FUSE here")
    server = redis()
    libc = ctypes.CDLL(None, use_errno=True)
    hung = tmp_path / "hung"
    hung.mkdir()
    # Nobody answers.
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    assert libc.mount(b"x", bytes(hung), b"fuse", 0, options.encode()) == 0, os.strerror(ctypes.get_errno())
    try:
        for number in range(1, 9):
            kept(number, asking(server.port, f"hung{number}"), bundle=f"{hung}/{number}")
        watch = lives(capture, server.port)
        kept(9, asking(server.port, "good"), name="good")
        wait_for(lambda: names(seen(watch, "good")[-1:]) == {"good"})
        assert all(names(seen(watch, f"hung{number}")) == {None} for number in range(1, 9))
        watch.stop()
    finally:
        os.close(fuse)
        libc.umount2(bytes(hung), 2)


def test_an_address_that_another_container_takes_over(kept, capture, tmp_path):
    server = redis_server_program(str(tmp_path))
    watch = lives(capture, 6379)
    for number, name in ((1, "first"), (2, "second")):
        script = (
            "ip link set lo up && ip address add 10.79.0.1/32 dev lo && "
            f"{{ {server} --bind 10.79.0.1 --save '' --protected-mode no --dir {tmp_path} --logfile log & }} && "
            f"exec {shlex.join(asking(6379, name, host='10.79.0.1'))}"
        )
        container = kept(number, ["sh", "-c", script], name=name, enter=["unshare", "--net"])
        wait_for(lambda: [line for line in seen(watch, name) if line.get("server_name") == name])
        container.stop()
    watch.stop()
