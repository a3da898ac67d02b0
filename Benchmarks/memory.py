# The largest anonymous memory of running processes, sampled: the ring is shared memory and is not in it.

import threading


def anonymous_bytes(pid):
    """RssAnon of a process, 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


class PeakMemory:
    """Samples processes while it is entered; `peaks` has the largest value of each name."""

    def __init__(self, processes, interval=0.05):
        self._processes = processes
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.peaks = dict.fromkeys(processes, 0)

    def _sample(self):
        while not self._done.wait(self._interval):
            for name, pid in self._processes.items():
                self.peaks[name] = max(self.peaks[name], anonymous_bytes(pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
