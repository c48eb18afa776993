"""Optimizers as values: frozen parameters, and a state made of tensors.

An optimizer does not own the point it moves. It takes a point and a state and returns the next
ones, so one object can serve any number of optimizations, the step can be compiled, and the state
can be saved or resampled like any other nest of tensors.
"""

from nstk.optimizers.adam import Adam as Adam
from nstk.optimizers.adam import Averaged as Averaged
from nstk.optimizers.choice import OPTIMIZERS as OPTIMIZERS
from nstk.optimizers.choice import choose_optimizer as choose_optimizer
from nstk.optimizers.gradient_descent import GradientDescent as GradientDescent
from nstk.optimizers.lbfgs import LBFGS as LBFGS
from nstk.optimizers.newton import Newton as Newton
from nstk.optimizers.newton import multiply_hessian as multiply_hessian
from nstk.optimizers.protocol import Bounds as Bounds
from nstk.optimizers.protocol import Evaluate as Evaluate
from nstk.optimizers.protocol import Evaluation as Evaluation
from nstk.optimizers.protocol import Optimizer as Optimizer
from nstk.optimizers.protocol import minimize as minimize
from nstk.optimizers.smooth_colors import SmoothColors as SmoothColors
