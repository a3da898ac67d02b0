# hiredis, built from the source that its Python package carries: Debian's is too old to know RESP3.

import glob
import os
import subprocess
import sys
import tarfile

PACKAGE = "hiredis==3.5.0"  # hiredis 1.5.0
SOURCES = ("alloc", "async", "hiredis", "net", "read", "sds", "sockcompat")


def build_hiredis_reader(work):
    """Compiles hiredis-reader.c with hiredis, both with -O2; returns the program's path."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-binary", ":all:", "--dest", work, PACKAGE], check=True)
    with tarfile.open(os.path.join(work, PACKAGE.replace("==", "-") + ".tar.gz")) as archive:
        archive.extractall(work)
    (vendor,) = glob.glob(os.path.join(work, "hiredis-*", "vendor"))
    sources = [os.path.join(vendor, "hiredis", f"{name}.c") for name in SOURCES]
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hiredis-reader.c")
    program = os.path.join(work, "hiredis-reader")
    subprocess.run(["gcc", "-O2", "-I", vendor, own, *sources, "-o", program], check=True)
    return program
