# Results as text for a terminal and as Markdown for docs/performance.md; medians, because machines are noisy.

import os
import platform
import statistics


def machine():
    """The machine in a line: figures without it mean nothing."""
    with open("/proc/cpuinfo") as file:
        processor = file.read()
    models = [line.split(":", 1)[1].strip() for line in processor.splitlines() if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    virtual = ", virtual machine" if "hypervisor" in processor else ""
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}{virtual}"


def idleness():
    """What else the machine does: figures of a busy one are noise."""
    return f"load average before the start: {os.getloadavg()[0]:.1f}"


class Table:
    """Rows of text with a title and a head."""

    def __init__(self, title, *head):
        self.title = title
        self.head = head
        self.rows = []
        self.notes = []

    def add(self, *row):
        self.rows.append([str(cell) for cell in row])

    def text(self):
        widths = [max(len(row[column]) for row in [self.head, *self.rows]) for column in range(len(self.head))]
        lines = [self.title, ""]
        for first, *rest in [self.head, *self.rows]:
            cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:]))]
            lines.append("  " + "  ".join(cells))
        return "\n".join([*lines, *(f"  {note}" for note in self.notes), ""])

    def markdown(self):
        lines = [f"### {self.title}", "", "| " + " | ".join(self.head) + " |"]
        lines.append("|" + "|".join(["---", *["---:"] * (len(self.head) - 1)]) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])


def median(values):
    return statistics.median(values)


def spread(values):
    """Median with the lowest and the highest."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def thousands(value):
    return f"{round(value):,}"
