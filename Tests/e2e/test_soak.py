# scripts/soak in short: churn leaves nothing behind, neither memory nor entries of maps.

import os

import pytest

from soak import soak, verify


@pytest.mark.live
@pytest.mark.root
def test_churn_leaves_nothing_behind(tmp_path):
    made, samples, books = soak(os.fspath(tmp_path), seconds=18, pause=1)
    print(f"{made} connections; first {samples[0]}; last {samples[-1]}")
    assert made > 1000, made
    # The tables that remember the last few thousand connections and names are still filling up.
    verify(made, samples, books, growth_kib=1024)
