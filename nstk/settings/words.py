"""The choices of settings, as types."""

from collections.abc import Mapping
from typing import Literal

ColorMode = Literal["style", "luminance", "match", "match-luminance", "histogram", "lab"]
ColorMatching = Literal["symmetric", "pca", "cholesky"]
OptimizerName = Literal["adam", "gradient-descent", "lbfgs", "newton"]
Pooling = Literal["max", "average", "l2"]
TilingName = Literal["auto", "off", "on"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
ConvolutionName = Literal["auto", "direct", "winograd"]
StyleLoss = Literal["moments", "gram", "wasserstein"]
FeatureChoice = Literal["pooled", "pooled+statistics", "auto"]
AugmentationName = Literal["auto", "none", "mixup", "light", "strong"]
LayerWeights = Mapping[str, float]
