"""Files from strangers: nothing but an `NstkError` comes out, whatever is in them.

Every kind of file that nstk reads is spoilt in thousands of ways (`mutations`) and read in
processes that are watched (`trials`). `make test` tries some hundred for each kind, `make soak`
over fifty thousand in all.
"""

import os

import pytest
import readers
import trials

pytestmark = pytest.mark.faults

INPUTS = 52_000 if os.environ.get("NSTK_SOAK") == "1" else 2_000
"""How many are tried, shared out by `Kind.share`."""

_SHARES = sum(kind.share for kind in readers.KINDS)


@pytest.mark.parametrize("kind", readers.KINDS, ids=lambda kind: kind.name)
def test_only_an_error_of_ours_comes_out_of_a_spoilt_file(kind, tmp_path, tally_inputs):
    count = -(-INPUTS * kind.share // _SHARES)
    tally = trials.try_kind(kind.name, 0, count, tmp_path)
    tally_inputs(kind, tally)
    assert tally.tried == count
    assert tally.refused > 0  # or nothing was spoilt
    assert not tally.findings, "\n\n".join(tally.findings[:5])
