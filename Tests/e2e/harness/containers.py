# Real container runtimes with everything of theirs in one folder, and stopped by their own pids.

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
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


class RootlessPodman:
    """Podman run by a user of the test's own, who has control groups of version 2 to put containers into.

    The user has no ranges of ids: a container has one user only. runc takes the machine for one of version 2 where nothing else
    is mounted, so Podman lives in a mount namespace of that kind.
    """

    user = "tap-e2e"

    def __init__(self, directory, root):
        # The folders of a test are root's alone.
        self._directory = directory = tempfile.mkdtemp(dir="/tmp", prefix="tap-")
        self._group = f"{hierarchy()}/{self.user}"
        self._podman = [
            "podman", "--runtime", "runc", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir",
            f"{directory}/tmp", "--storage-driver", "vfs", "--storage-opt", "vfs.ignore_chown_errors=true", "--cgroup-manager",
            "cgroupfs", "--events-backend", "file",
        ]  # fmt: skip
        _run(["useradd", "--no-create-home", "--home-dir", directory, self.user])
        try:
            _run(["sed", "-i", f"/^{self.user}:/d", "/etc/subuid", "/etc/subgid"])
            self.uid = int(_run(["id", "-u", self.user]))
            _run(["tar", "-C", root, "-cf", f"{directory}/image.tar", "."])
            os.mkdir(f"{directory}/xdg", 0o700)
            os.makedirs(f"{self._group}/podman")
            groups = [self._group, f"{self._group}/podman"]
            for path in [directory, f"{directory}/xdg", f"{directory}/image.tar", *groups]:
                shutil.chown(path, self.user)
            for group in groups:
                shutil.chown(f"{group}/cgroup.procs", self.user)
            self("import", f"{directory}/image.tar", "tap/busybox:3")
        except BaseException:
            self.stop()
            raise

    def __call__(self, *arguments, check=True):
        script = f"""
            mount --make-rprivate /
            grep -o ' /sys/fs/cgroup/[^ ]* ' /proc/self/mountinfo | grep -v unified | xargs -rn1 umount
            mount --bind {hierarchy()} /sys/fs/cgroup
            echo 0 > /sys/fs/cgroup/{self.user}/podman/cgroup.procs
            cd {self._directory}
            exec runuser -u {self.user} -- "$@"
        """
        environment = dict(os.environ, HOME=self._directory, XDG_RUNTIME_DIR=f"{self._directory}/xdg")
        enter = ["unshare", "--mount", "sh", "-ec", script, "sh"]
        return _run([*enter, *self._podman, *map(str, arguments)], check, env=environment)

    def run(self, *options, command):
        limits = [*_LIMITS, "--ulimit", "nproc=1000:1000", "--pids-limit", "-1", "--cgroup-parent", f"/{self.user}"]
        return self("run", "--network=host", *limits, *options, "localhost/tap/busybox:3", *command)

    def stop(self):
        self("rm", "-f", "-a", "-t", "0", check=False)
        # With the process that keeps the user's namespaces, and is in a group of the user's.
        remove_group(self._group)
        _run(["userdel", self.user], check=False)
        shutil.rmtree(self._directory)


def hierarchy(kind="cgroup2"):
    """Where the control groups of version 2 are mounted, or a hierarchy of version 1 by the name of a controller."""
    with open("/proc/self/mountinfo") as table:
        for line in table:
            mount, _, about = line.partition(" - ")
            kinds = about.split()[2].split(",") if about.startswith("cgroup ") else [about.split()[0]]
            if kind in kinds:
                return mount.split()[4]
    return None


def remove_group(group):
    """A control group with those below it, and their processes."""
    for folder, _, _ in os.walk(group, topdown=False):
        while pids := open(f"{folder}/cgroup.procs").read().split():
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        _wait_for(lambda folder=folder: _removed(folder), f"{folder} empty")


def _removed(folder):
    try:
        os.rmdir(folder)
    except OSError:
        return False
    return True


class Kept:
    """A container kept as conmon(8) keeps it, with control groups, files and ends of the test's own choosing: for what no
    runtime can be made to do, or is not there. It is isolated from nothing."""

    def __init__(self, directory, identifier, command, groups, name="kept", configuration="{}", enter=(), bundle=None):
        """`bundle` is what the command line says, where it is another one than that with the files."""
        self.bundle = f"{directory}/overlay-containers/{identifier}/userdata"
        self._identifier = identifier
        self._store = f"{directory}/overlay-containers/containers.json"
        self._groups = groups
        os.makedirs(self.bundle)
        with open(f"{self.bundle}/config.json", "w") as file:
            file.write(configuration)
        self.rename(name)
        for group in groups:
            os.makedirs(group, exist_ok=True)
        # The shell under conmon's name.
        program = shutil.copy(shutil.which("sh"), f"{directory}/conmon")
        joining = "".join(f"echo 0 > {group}/cgroup.procs && " for group in groups)
        script = f"({joining} exec {shlex.join(map(str, command))}) & wait"
        self.process = subprocess.Popen(
            [*enter, program, "-c", script, "-b", bundle or self.bundle, "-n", name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def rename(self, name):
        """As the storage library does it: a new list in the place of the old one."""
        with open(f"{self._store}.new", "w") as file:
            json.dump([{"id": self._identifier, "names": [name], "image": "ab" * 32}], file)
        os.rename(f"{self._store}.new", self._store)

    def end_keeper(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        for group in self._groups:
            remove_group(group)
        self.end_keeper()
