# Pipelines of our programs, started as a shell would start them, with every process in our hands.

import os
import shutil
import signal
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BIN = os.path.join(ROOT, ".build", "release")

# The engine that captures use, where the tests run once for each of several.
ENGINE = os.environ.get("TAP_ENGINE")


def tool(name):
    """Path of one of our programs."""
    return os.path.join(BIN, name)


def reachable_copy(program, directory):
    """A copy of one of our programs that any user can run."""
    copy = shutil.copy(tool(program), directory)
    for folder in (directory, *directory.parents):
        if os.stat(folder).st_uid == os.geteuid() and folder != folder.parent:
            os.chmod(folder, os.stat(folder).st_mode | 0o011)
    return copy


RESP = [tool("tap-resp")]
HTTP = [tool("tap-http")]
MERGE = [tool("tap-merge")]
JSON = [tool("tap-fmt"), "--json"]
PRETTY = [tool("tap-fmt")]


class Pipeline:
    """`first | second | …`; the last writes to the file `output`, and what each says on stderr has a file of its own."""

    def __init__(self, directory, commands, stdin=subprocess.DEVNULL, output=None, **options):
        os.makedirs(directory, exist_ok=True)
        self.output = output or os.path.join(directory, "output")
        self._errors = [os.path.join(directory, f"stderr.{index}") for index in range(len(commands))]
        self.processes = []
        previous = stdin
        for index, command in enumerate(commands):
            is_last = index == len(commands) - 1
            with open(self._errors[index], "wb") as errors:
                out = open(self.output, "wb") if is_last else subprocess.PIPE
                process = subprocess.Popen(command, stdin=previous, stdout=out, stderr=errors, **options)
            # Only the processes hold the ends of the pipes, or a stage would never see that its neighbour is gone.
            if index > 0:
                previous.close()
            if is_last:
                out.close()
            previous = process.stdout
            self.processes.append(process)

    @property
    def first(self):
        return self.processes[0]

    def errors(self, index=0):
        """What the process has said on stderr so far."""
        with open(self._errors[index], errors="replace") as file:
            return file.read()

    def all_errors(self):
        return "".join(self.errors(index) for index in range(len(self.processes)))

    def wait(self, timeout=120):
        """Exit statuses of all, in order."""
        deadline = time.monotonic() + timeout
        return [process.wait(max(0.1, deadline - time.monotonic())) for process in self.processes]

    def kill(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


class Capture(Pipeline):
    """A pipeline that begins with tap-capture; constructed when the capture is ready."""

    def __init__(self, directory, options, stages=(), **popen_options):
        engine = ["--engine", ENGINE] if ENGINE else []
        capture = [tool("tap-capture"), *engine, *map(str, options)]
        super().__init__(directory, [capture, *stages], **popen_options)
        deadline = time.monotonic() + 30
        while "tap-capture: ready" not in self.errors():
            if self.first.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"tap-capture did not become ready: {self.all_errors()}")
            time.sleep(0.005)

    def stop(self, timeout=120):
        """Ends the capture as Ctrl-C does and waits until the whole pipeline is drained; every status must be 0."""
        if self.first.poll() is None:
            self.first.send_signal(signal.SIGINT)
        return self.finish(timeout)

    def finish(self, timeout=120):
        """Waits until the pipeline has ended by itself; every status must be 0."""
        statuses = self.wait(timeout)
        assert statuses == [0] * len(statuses), (statuses, self.all_errors())
        return self


def run(commands, directory, stdin=None, timeout=120):
    """Runs a pipeline over the file `stdin` and returns what it wrote; every status must be 0."""
    with open(stdin or os.devnull, "rb") as file:
        pipeline = Pipeline(directory, commands, stdin=file)
    statuses = pipeline.wait(timeout)
    assert statuses == [0] * len(statuses), (statuses, pipeline.all_errors())
    with open(pipeline.output, "rb") as output:
        return output.read()
