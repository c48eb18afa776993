"""Every image network of keras.applications, as a table, so that listing them is fast.

Numbers and taps were read from the built networks; `tests/backbones/test_applications.py` compares
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Convention = Literal["symmetric", "standardized", "caffe", "inside"]
"""Input that a family was trained on.

- ``"symmetric"``: RGB in [−1, 1].
- ``"standardized"``: RGB in [0, 1] minus ImageNet's mean, over its standard deviation.
- ``"caffe"``: BGR in [0, 255] minus ImageNet's mean.
- ``"inside"``: RGB in [0, 255]; the network includes the rest.
"""


@dataclass(frozen=True)
class Family:
    """Networks that share a module of keras.applications.

    Keras computes the zero padding of some for one fixed input size (``pads_by_size``). Of others
    (``divides_again``) it divides the input by the square root of the standard deviation once
    more, but only when it downloads the weights itself.
    """

    module: str
    convention: Convention
    pads_by_size: bool = False
    divides_again: bool = False


@dataclass(frozen=True)
class Application:
    """One network of keras.applications, without its classification top.

    ``input_size`` is the side of the images it was trained on, in pixels; ``channels`` are those
    of its last feature map.
    """

    name: str
    family: Family
    constructor: str
    input_size: int
    parameters: int
    channels: int

    @property
    def options(self) -> dict[str, object]:
        """Arguments of the constructor, as the name tells them."""
        _, width, alpha = self.name.partition("-")
        if width:
            return {"alpha": float(alpha)}
        return {"minimalistic": True} if self.name.endswith("_minimalistic") else {}


_TABLE: Mapping[Family, Sequence[tuple[str, str, int, int, int]]] = {
    Family("vgg16", "caffe"): (("vgg16", "VGG16", 224, 14_714_688, 512),),
    Family("vgg19", "caffe"): (("vgg19", "VGG19", 224, 20_024_384, 512),),
    Family("resnet", "caffe"): (
        ("resnet50", "ResNet50", 224, 23_587_712, 2048),
        ("resnet101", "ResNet101", 224, 42_658_176, 2048),
        ("resnet152", "ResNet152", 224, 58_370_944, 2048),
    ),
    Family("resnet_v2", "symmetric"): (
        ("resnet50_v2", "ResNet50V2", 224, 23_564_800, 2048),
        ("resnet101_v2", "ResNet101V2", 224, 42_626_560, 2048),
        ("resnet152_v2", "ResNet152V2", 224, 58_331_648, 2048),
    ),
    Family("mobilenet", "symmetric"): (
        ("mobilenet-0.25", "MobileNet", 224, 218_544, 256),
        ("mobilenet-0.5", "MobileNet", 224, 829_536, 512),
        ("mobilenet-0.75", "MobileNet", 224, 1_832_976, 768),
        ("mobilenet-1.0", "MobileNet", 224, 3_228_864, 1024),
    ),
    Family("mobilenet_v2", "symmetric", pads_by_size=True): (
        ("mobilenet_v2-0.35", "MobileNetV2", 224, 410_208, 1280),
        ("mobilenet_v2-0.5", "MobileNetV2", 224, 706_224, 1280),
        ("mobilenet_v2-0.75", "MobileNetV2", 224, 1_382_064, 1280),
        ("mobilenet_v2-1.0", "MobileNetV2", 224, 2_257_984, 1280),
        ("mobilenet_v2-1.3", "MobileNetV2", 224, 3_766_048, 1664),
        ("mobilenet_v2-1.4", "MobileNetV2", 224, 4_363_712, 1792),
    ),
    Family("mobilenet_v3", "inside", pads_by_size=True): (
        ("mobilenet_v3_small-0.75", "MobileNetV3Small", 224, 583_160, 432),
        ("mobilenet_v3_small-1.0", "MobileNetV3Small", 224, 939_120, 576),
        ("mobilenet_v3_small_minimalistic", "MobileNetV3Small", 224, 441_000, 576),
        ("mobilenet_v3_large-0.75", "MobileNetV3Large", 224, 1_808_736, 720),
        ("mobilenet_v3_large-1.0", "MobileNetV3Large", 224, 2_996_352, 960),
        ("mobilenet_v3_large_minimalistic", "MobileNetV3Large", 224, 1_437_608, 960),
    ),
    Family("densenet", "standardized"): (
        ("densenet121", "DenseNet121", 224, 7_037_504, 1024),
        ("densenet169", "DenseNet169", 224, 12_642_880, 1664),
        ("densenet201", "DenseNet201", 224, 18_321_984, 1920),
    ),
    Family("inception_v3", "symmetric"): (("inception_v3", "InceptionV3", 299, 21_802_784, 2048),),
    Family("inception_resnet_v2", "symmetric"): (
        ("inception_resnet_v2", "InceptionResNetV2", 299, 54_336_736, 1536),
    ),
    Family("xception", "symmetric"): (("xception", "Xception", 299, 20_861_480, 2048),),
    Family("nasnet", "symmetric", pads_by_size=True): (
        ("nasnet_mobile", "NASNetMobile", 224, 4_269_716, 1056),
        ("nasnet_large", "NASNetLarge", 331, 84_916_818, 4032),
    ),
    Family("efficientnet", "inside", pads_by_size=True, divides_again=True): (
        ("efficientnet_b0", "EfficientNetB0", 224, 4_049_571, 1280),
        ("efficientnet_b1", "EfficientNetB1", 240, 6_575_239, 1280),
        ("efficientnet_b2", "EfficientNetB2", 260, 7_768_569, 1408),
        ("efficientnet_b3", "EfficientNetB3", 300, 10_783_535, 1536),
        ("efficientnet_b4", "EfficientNetB4", 380, 17_673_823, 1792),
        ("efficientnet_b5", "EfficientNetB5", 456, 28_513_527, 2048),
        ("efficientnet_b6", "EfficientNetB6", 528, 40_960_143, 2304),
        ("efficientnet_b7", "EfficientNetB7", 600, 64_097_687, 2560),
    ),
    Family("efficientnet_v2", "inside"): (
        ("efficientnet_v2_b0", "EfficientNetV2B0", 224, 5_919_312, 1280),
        ("efficientnet_v2_b1", "EfficientNetV2B1", 240, 6_931_124, 1280),
        ("efficientnet_v2_b2", "EfficientNetV2B2", 260, 8_769_374, 1408),
        ("efficientnet_v2_b3", "EfficientNetV2B3", 300, 12_930_622, 1536),
        ("efficientnet_v2_s", "EfficientNetV2S", 384, 20_331_360, 1280),
        ("efficientnet_v2_m", "EfficientNetV2M", 480, 53_150_388, 1280),
        ("efficientnet_v2_l", "EfficientNetV2L", 480, 117_746_848, 1280),
    ),
    Family("convnext", "inside"): (
        ("convnext_tiny", "ConvNeXtTiny", 224, 27_820_128, 768),
        ("convnext_small", "ConvNeXtSmall", 224, 49_454_688, 768),
        ("convnext_base", "ConvNeXtBase", 224, 87_566_464, 1024),
        ("convnext_large", "ConvNeXtLarge", 224, 196_230_336, 1536),
        ("convnext_xlarge", "ConvNeXtXLarge", 224, 348_147_968, 2048),
    ),
}
"""Name, constructor, input size, parameters and channels of each network."""

APPLICATIONS: Mapping[str, Application] = {
    row[0]: Application(row[0], family, *row[1:]) for family, rows in _TABLE.items() for row in rows
}

TAPS: Mapping[str, str] = {
    "compact": "block1_conv1 block1_conv2 block1_pool block2_conv1 block2_conv2 block2_pool "
    "block3_conv1 block3_conv2 block3_conv3 block3_pool block4_conv1 block4_conv2 block4_conv3 "
    "block4_pool block5_conv1 block5_conv2",
    "vgg16": "block1_conv2 block2_conv2 block3_conv3 block4_conv3 block5_conv3 block5_pool",
    "vgg19": "block1_conv2 block2_conv2 block3_conv4 block4_conv4 block5_conv4 block5_pool",
    "resnet50": "conv1_relu conv2_block3_out conv3_block4_out conv4_block6_out conv5_block3_out",
    "resnet101": "conv1_relu conv2_block3_out conv3_block4_out conv4_block23_out conv5_block3_out",
    "resnet152": "conv1_relu conv2_block3_out conv3_block8_out conv4_block36_out conv5_block3_out",
    "resnet50_v2": "conv1_conv conv2_block2_out conv3_block3_out conv4_block5_out post_relu",
    "resnet101_v2": "conv1_conv conv2_block2_out conv3_block3_out conv4_block22_out post_relu",
    "resnet152_v2": "conv1_conv conv2_block2_out conv3_block7_out conv4_block35_out post_relu",
    "mobilenet": "conv_pw_1_relu conv_pw_3_relu conv_pw_5_relu conv_pw_11_relu conv_pw_13_relu",
    "mobilenet_v2": (
        "block_1_expand_relu block_3_expand_relu block_6_expand_relu block_13_expand_relu out_relu"
    ),
    "mobilenet_v3_small": "activation re_lu_2 activation_1 activation_11 activation_17",
    "mobilenet_v3_small_minimalistic": "re_lu re_lu_2 re_lu_6 re_lu_16 re_lu_22",
    "mobilenet_v3_large": "re_lu_1 re_lu_5 activation_1 activation_13 activation_19",
    "mobilenet_v3_large_minimalistic": "re_lu_2 re_lu_6 re_lu_12 re_lu_24 re_lu_30",
    **dict.fromkeys(
        ("densenet121", "densenet169", "densenet201"),
        "conv1_relu pool2_conv pool3_conv pool4_conv relu",
    ),
    "inception_v3": "activation_2 activation_4 mixed2 mixed7 mixed10",
    "inception_resnet_v2": "activation_2 activation_4 block35_10_ac block17_20_ac conv_7b_ac",
    "xception": "block1_conv2_act add add_1 add_10 block14_sepconv2_act",
    "nasnet_mobile": "stem_bn1 adjust_relu_1_0 adjust_relu_1_5 adjust_relu_1_9 activation_187",
    "nasnet_large": "stem_bn1 adjust_relu_1_0 adjust_relu_1_7 adjust_relu_1_13 activation_259",
    **dict.fromkeys(
        ("efficientnet-lite0", *(f"efficientnet_b{number}" for number in range(8))),
        "block2a_expand_activation block3a_expand_activation block4a_expand_activation "
        "block6a_expand_activation top_activation",
    ),
    **{
        f"efficientnet_v2_{size}": f"{finest} {finer} block4a_expand_activation "
        "block6a_expand_activation top_activation"
        for size, finest, finer in (
            ("b0", "block1a_project_activation", "block2b_add"),
            ("b1", "block1b_add", "block2c_add"),
            ("b2", "block1b_add", "block2c_add"),
            ("b3", "block1b_add", "block2c_add"),
            ("s", "block1b_add", "block2d_add"),
            ("m", "block1c_add", "block2e_add"),
            ("l", "block1d_add", "block2g_add"),
        )
    },
    **{
        f"convnext_{size}": f"convnext_{size}_stem convnext_{size}_downsampling_block_0 "
        f"convnext_{size}_downsampling_block_1 layer_normalization"
        for size in ("tiny", "small", "base", "large", "xlarge")
    },
}
"""Layers to tap by network, the same for all widths, from the finest stride to the coarsest.

For each stride this is the deepest layer on which everything after it depends, or simply the
deepest one if there is no such layer. Of `compact` all are listed."""


def deepest_taps(name: str) -> list[str]:
    """The deepest layer at each stride of a named network; see `TAPS`."""
    return (TAPS.get(name) or TAPS[name.partition("-")[0]]).split()
