"""Minimizers as values: frozen parameters, and a state made of tensors.

A minimizer never owns the point it moves. It is given a point and a state and answers with the
next ones, so the same object can serve any number of descents, the step can be compiled, and
the state can be saved or resampled like any other nest of tensors.
"""

from nstk.minimizers.adam import Adam as Adam
from nstk.minimizers.averaging import Averaged as Averaged
from nstk.minimizers.box import Bounds as Bounds
from nstk.minimizers.choice import MINIMIZERS as MINIMIZERS
from nstk.minimizers.choice import choose_minimizer as choose_minimizer
from nstk.minimizers.gradient_descent import GradientDescent as GradientDescent
from nstk.minimizers.lbfgs import LBFGS as LBFGS
from nstk.minimizers.newton import Newton as Newton
from nstk.minimizers.newton import multiply_hessian as multiply_hessian
from nstk.minimizers.protocol import Evaluate as Evaluate
from nstk.minimizers.protocol import Evaluation as Evaluation
from nstk.minimizers.protocol import Minimizer as Minimizer
from nstk.minimizers.protocol import minimize as minimize
