"""Heads that are solved on features, and what is measured of them.

`fit_head` chooses the penalty by leave-one-out on a ridge path (`decompose`, `leave_one_out`,
`choose_l2`) and solves a logistic head; `evaluate` scores its probabilities.
"""

from nstk.heads.calibration import Calibration as Calibration
from nstk.heads.calibration import calibrate as calibrate
from nstk.heads.head import Head as Head
from nstk.heads.head import fit_head as fit_head
from nstk.heads.links import SIGMOID as SIGMOID
from nstk.heads.links import SOFTMAX as SOFTMAX
from nstk.heads.links import Link as Link
from nstk.heads.metrics import Evaluation as Evaluation
from nstk.heads.metrics import evaluate as evaluate
from nstk.heads.metrics import wilson_interval as wilson_interval
from nstk.heads.out_of_distribution import OODDetector as OODDetector
from nstk.heads.out_of_distribution import fit_ood_detector as fit_ood_detector
from nstk.heads.ridge import choose_l2 as choose_l2
from nstk.heads.ridge import decompose as decompose
from nstk.heads.ridge import leave_one_out as leave_one_out
