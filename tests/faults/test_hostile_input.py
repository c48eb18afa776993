"""Untrusted files: reading them raises nothing but an `NstkError`.

Every kind of file that nstk reads is corrupted in thousands of ways (`mutations`) and read in
monitored processes (`trials`). `make test` tries about fifty of each kind, `make soak` over fifty
thousand in total.
"""

import os

import pytest
import readers
import trials

pytestmark = pytest.mark.faults

INPUTS = 52_000 if os.environ.get("NSTK_SOAK") == "1" else 1_000
"""Number of files, divided by `Kind.share`."""

_SHARES = sum(kind.share for kind in readers.KINDS)


@pytest.mark.parametrize("kind", readers.KINDS, ids=lambda kind: kind.name)
def test_a_corrupted_file_raises_nothing_but_our_errors(kind, tmp_path, tally_inputs):
    count = -(-INPUTS * kind.share // _SHARES)
    tally = trials.try_kind(kind.name, 0, count, tmp_path)
    tally_inputs(kind, tally)
    assert tally.tried == count
    assert tally.refused > 0  # otherwise nothing was corrupted
    assert not tally.findings, "\n\n".join(tally.findings[:5])
