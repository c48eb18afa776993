"""The objective of style transfer and its parts, for loops of your own.

Everything a layer contributes is a sum over positions (`feature_sums`), from which moments follow
(`to_moments`), from which a loss follows (`STYLE_LOSSES`). `StyleObjective` combines content, style
and total variation (Gatys, Ecker and Bethge 2016, with the departures that docs/architecture.md
lists) into one loss with its gradient.
"""

from nstk.stylization.losses import STYLE_LOSSES as STYLE_LOSSES
from nstk.stylization.losses import content_loss as content_loss
from nstk.stylization.losses import gram_loss as gram_loss
from nstk.stylization.losses import moments_loss as moments_loss
from nstk.stylization.losses import total_variation as total_variation
from nstk.stylization.losses import wasserstein_loss as wasserstein_loss
from nstk.stylization.objective import LossWeights as LossWeights
from nstk.stylization.objective import ObjectiveWeights as ObjectiveWeights
from nstk.stylization.objective import StyleObjective as StyleObjective
from nstk.stylization.statistics import Moments as Moments
from nstk.stylization.statistics import Statistics as Statistics
from nstk.stylization.statistics import covariance as covariance
from nstk.stylization.statistics import feature_sums as feature_sums
from nstk.stylization.statistics import gram_matrix as gram_matrix
from nstk.stylization.statistics import to_moments as to_moments
