# Real redis-servers: each on a free loopback port with a directory of its own, stopped by its own pid.

import os
import shutil
import signal
import socket
import subprocess
import time

from .resp import Client


def free_port():
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def redis_server_program(directory):
    """redis-server, or the same binary under its other name, as the package redis-tools brings it."""
    found = shutil.which("redis-server")
    if found:
        return found
    link = os.path.join(directory, "redis-server")
    if not os.path.lexists(link):
        os.symlink(shutil.which("redis-check-rdb"), link)
    return link


class RedisServer:
    """A running redis-server."""

    def __init__(self, directory, *options):
        self.directory = str(directory)
        self.options = list(map(str, options))
        os.makedirs(self.directory, exist_ok=True)
        program = redis_server_program(self.directory)
        # Between choosing a port and binding it somebody else may take it.
        for _ in range(5):
            self.port = free_port()
            self.process = subprocess.Popen([program, *self._arguments()], stdin=subprocess.DEVNULL)
            if self._is_up():
                return
            self.stop()
        with open(os.path.join(self.directory, "redis.log")) as log:
            raise AssertionError("redis-server did not start:\n" + log.read()[-2000:])

    def _arguments(self):
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "::1", "--save", ""]
        return arguments + ["--dir", self.directory, "--logfile", "redis.log", *self.options]

    def _is_up(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with Client(self.port) as client:
                    client.call("PING")
                    return self.process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False

    @property
    def pid(self):
        return self.process.pid

    def client(self, **options):
        return Client(self.port, **options)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Sentinel(RedisServer):
    """The same program as a sentinel, which watches one master."""

    def __init__(self, directory, master_port):
        self.master_port = master_port
        super().__init__(directory)

    def _arguments(self):
        # It writes what it finds out into its configuration, and takes none without a file.
        path = os.path.join(self.directory, "sentinel.conf")
        with open(path, "w") as file:
            file.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\nlogfile redis.log\n")
            file.write(f"sentinel monitor watched 127.0.0.1 {self.master_port} 1\n")
        return [path, "--sentinel"]


def info(client, section):
    """A section of INFO as a dictionary of texts."""
    lines = client.call("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
