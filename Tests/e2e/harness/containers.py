# Real container runtimes with everything of theirs in one folder, and stopped by their own pids.

import json
import os
import shutil
import signal
import subprocess
import time

# The limits are those that this kind of test machine can give; they do not matter to the tests.
_LIMITS = ["--ulimit", "nofile=1024:1024"]


def make_root(directory):
    """A root file system of busybox, a redis client that lives for a moment, and users of its own."""
    root = os.path.join(directory, "rootfs")
    for folder in ("bin", "etc", "tmp", "proc", "dev", "sys"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "busybox"))
    for name in ("sh", "sleep", "nc", "printf", "cat"):
        os.symlink("busybox", os.path.join(root, "bin", name))
    with open(os.path.join(root, "etc", "passwd"), "w") as file:
        file.write("root:x:0:0:root:/:/bin/sh\nservice:x:4321:4321::/:/bin/sh\n")
    return root


def send_once(port, key):
    """A command line that sends one command to the redis-server on `port` of the same network."""
    return ["sh", "-c", f"printf 'GET {key}\\r\\n' | nc -w 1 127.0.0.1 {port} | cat >/dev/null"]


def send_forever(port, key):
    """One connection after the other, until it is ended."""
    return ["sh", "-c", f"while :; do printf 'GET {key}\\r\\n' | nc -w 1 127.0.0.1 {port} >/dev/null; sleep 0.05; done"]


def _wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


class Daemon:
    """A process of ours that serves a unix socket."""

    def __init__(self, directory, command, is_ready):
        os.makedirs(directory, exist_ok=True)
        self.log = os.path.join(directory, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_for(lambda: self.process.poll() is not None or is_ready(), f"{command[0]} ready")
            assert self.process.poll() is None, open(self.log).read()[-2000:]
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _unmount_below(directory):
    """A network namespace stays mounted in dockerd's folder."""
    with open("/proc/self/mountinfo") as table:
        points = [line.split()[4] for line in table]
    for point in reversed([point for point in points if point.startswith(directory + "/")]):
        subprocess.run(["umount", point], check=False)


def _run(command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **options)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


class Docker:
    """A dockerd of our own."""

    def __init__(self, directory, root):
        os.makedirs(directory)
        self._directory = directory
        self.socket = f"{directory}/socket"
        self._command = ["docker", "-H", f"unix://{self.socket}"]
        self._daemon = Daemon(
            f"{directory}/daemon",
            ["dockerd", "--iptables=false", "--bridge=none", "--storage-driver", "vfs", "--data-root", f"{directory}/data",
             "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid", "-H", f"unix://{self.socket}"],
            lambda: os.path.exists(self.socket) and self("version", check=False) != "",
        )  # fmt: skip
        self.pid = self._daemon.process.pid
        archive = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([*self._command, "import", "-", "tap/busybox:1"], input=archive, check=True, capture_output=True)

    def __call__(self, *arguments, check=True):
        return _run([*self._command, *map(str, arguments)], check)

    def run(self, *options, command):
        return self("run", "--network=host", *_LIMITS, *options, "tap/busybox:1", *command)

    def stop(self):
        containers = self("ps", "-aq", check=False).split()
        if containers:
            self("rm", "-f", *containers, check=False)
        self._daemon.stop()
        _unmount_below(self._directory)


class Podman:
    """Podman with a storage of its own; it has no daemon."""

    def __init__(self, directory, root):
        os.makedirs(directory)
        self._directory = directory
        self._command = [
            "podman", "--runtime", "runc", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir",
            f"{directory}/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        ]  # fmt: skip
        archive = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([*self._command, "import", "-", "tap/busybox:2"], input=archive, check=True, capture_output=True)

    def __call__(self, *arguments, check=True):
        return _run([*self._command, *map(str, arguments)], check)

    def run(self, *options, command):
        limits = [*_LIMITS, "--ulimit", "nproc=1000:1000"]
        return self("run", "--network=host", *limits, *options, "localhost/tap/busybox:2", *command)

    def stop(self):
        self("rm", "-f", "-a", "-t", "0", check=False)
        _unmount_below(self._directory)


class Containerd:
    """A containerd of our own, and bundles of ours run through it as Kubernetes' CRI plugin does."""

    def __init__(self, directory, root):
        os.makedirs(directory)
        self._directory = directory
        self._root = root
        with open(f"{directory}/config.toml", "w") as file:
            file.write(
                f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", '
                '"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", '
                '"io.containerd.snapshotter.v1.aufs"]\n'
                f'[grpc]\naddress = "{directory}/socket"\n'
            )
        self._daemon = Daemon(
            f"{directory}/daemon", ["containerd", "--config", f"{directory}/config.toml"],
            lambda: os.path.exists(f"{directory}/socket"),
        )  # fmt: skip
        self._running = []

    def __call__(self, *arguments, check=True, namespace="default"):
        return _run(["ctr", "-a", f"{self._directory}/socket", "-n", namespace, *map(str, arguments)], check)

    def bundle(self, name, namespace):
        """The folder of a running container."""
        return f"{self._directory}/state/io.containerd.runtime.v2.task/{namespace}/{name}"

    def start(self, name, command, namespace="default", annotations=None, cgroup=None, network=None):
        """Starts a container in the background from a configuration like the one that kubelet's runtime writes.

        `network` is the path of a network namespace; without one it has the machine's.
        """
        specification = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": command, "env": ["PATH=/bin"], "cwd": "/"},
            "root": {"path": self._root},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "annotations": annotations or {},
            "linux": {
                "cgroupsPath": cgroup or f"/{namespace}/{name}",
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
                + ([{"type": "network", "path": network}] if network else []),
            },
        }
        path = f"{self._directory}/{name}.json"
        with open(path, "w") as file:
            json.dump(specification, file)
        self._running.append((name, namespace))
        return self("run", "--detach", "--config", path, name, namespace=namespace)

    def stop(self):
        for name, namespace in self._running:
            self("task", "kill", "-s", "SIGKILL", name, check=False, namespace=namespace)
            self("task", "delete", "-f", name, check=False, namespace=namespace)
            self("container", "delete", name, check=False, namespace=namespace)
        self._daemon.stop()
        _unmount_below(self._directory)
