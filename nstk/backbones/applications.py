"""Every image network of keras.applications, as a table, so that listing them is fast.

The numbers were read from the built networks; `tests/backbones/test_applications.py` compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nstk.backbones.application_taps import TAPS

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

    Attributes:
        module: The module's name in ``keras.applications``.
        convention: The input that the networks expect.
        pads_by_size: Keras computes their zero padding for one fixed input size.
        divides_again: Keras divides their input by the square root of the standard deviation once
            more, but only when it downloads the weights itself.
    """

    module: str
    convention: Convention
    pads_by_size: bool = False
    divides_again: bool = False


@dataclass(frozen=True)
class Application:
    """One network of keras.applications, without its classification top.

    Attributes:
        name: Its name in nstk.
        family: Its family.
        constructor: Its constructor in ``keras.applications``.
        input_size: Side of the images it was trained on, in pixels.
        parameters: Number of weights.
        channels: Channels of the last feature map.
        options: Arguments of the constructor.
    """

    name: str
    family: Family
    constructor: str
    input_size: int
    parameters: int
    channels: int
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def taps(self) -> tuple[str, ...]:
        """The deepest layer at each stride; the same at every width."""
        return tuple(TAPS[self.name.partition("-")[0]].split())


VGG16 = Family("vgg16", "caffe")
VGG19 = Family("vgg19", "caffe")
RESNET = Family("resnet", "caffe")
RESNET_V2 = Family("resnet_v2", "symmetric")
MOBILENET = Family("mobilenet", "symmetric")
MOBILENET_V2 = Family("mobilenet_v2", "symmetric", pads_by_size=True)
MOBILENET_V3 = Family("mobilenet_v3", "inside", pads_by_size=True)
DENSENET = Family("densenet", "standardized")
INCEPTION_V3 = Family("inception_v3", "symmetric")
INCEPTION_RESNET_V2 = Family("inception_resnet_v2", "symmetric")
XCEPTION = Family("xception", "symmetric")
NASNET = Family("nasnet", "symmetric", pads_by_size=True)
EFFICIENTNET = Family("efficientnet", "inside", pads_by_size=True, divides_again=True)
EFFICIENTNET_V2 = Family("efficientnet_v2", "inside")
CONVNEXT = Family("convnext", "inside")


def _in_widths(
    name: str,
    family: Family,
    constructor: str,
    sizes: Mapping[float, tuple[int, int]],
) -> tuple[Application, ...]:
    return tuple(
        Application(
            f"{name}-{alpha}", family, constructor, 224, parameters, channels, {"alpha": alpha}
        )
        for alpha, (parameters, channels) in sizes.items()
    )


_TABLE = (
    Application("vgg16", VGG16, "VGG16", 224, 14_714_688, 512),
    Application("vgg19", VGG19, "VGG19", 224, 20_024_384, 512),
    Application("resnet50", RESNET, "ResNet50", 224, 23_587_712, 2048),
    Application("resnet101", RESNET, "ResNet101", 224, 42_658_176, 2048),
    Application("resnet152", RESNET, "ResNet152", 224, 58_370_944, 2048),
    Application("resnet50_v2", RESNET_V2, "ResNet50V2", 224, 23_564_800, 2048),
    Application("resnet101_v2", RESNET_V2, "ResNet101V2", 224, 42_626_560, 2048),
    Application("resnet152_v2", RESNET_V2, "ResNet152V2", 224, 58_331_648, 2048),
    *_in_widths(
        "mobilenet",
        MOBILENET,
        "MobileNet",
        {0.25: (218_544, 256), 0.5: (829_536, 512), 0.75: (1_832_976, 768), 1.0: (3_228_864, 1024)},
    ),
    *_in_widths(
        "mobilenet_v2",
        MOBILENET_V2,
        "MobileNetV2",
        {
            0.35: (410_208, 1280),
            0.5: (706_224, 1280),
            0.75: (1_382_064, 1280),
            1.0: (2_257_984, 1280),
            1.3: (3_766_048, 1664),
            1.4: (4_363_712, 1792),
        },
    ),
    *_in_widths(
        "mobilenet_v3_small",
        MOBILENET_V3,
        "MobileNetV3Small",
        {0.75: (583_160, 432), 1.0: (939_120, 576)},
    ),
    Application(
        "mobilenet_v3_small_minimalistic",
        MOBILENET_V3,
        "MobileNetV3Small",
        224,
        441_000,
        576,
        {"minimalistic": True},
    ),
    *_in_widths(
        "mobilenet_v3_large",
        MOBILENET_V3,
        "MobileNetV3Large",
        {0.75: (1_808_736, 720), 1.0: (2_996_352, 960)},
    ),
    Application(
        "mobilenet_v3_large_minimalistic",
        MOBILENET_V3,
        "MobileNetV3Large",
        224,
        1_437_608,
        960,
        {"minimalistic": True},
    ),
    Application("densenet121", DENSENET, "DenseNet121", 224, 7_037_504, 1024),
    Application("densenet169", DENSENET, "DenseNet169", 224, 12_642_880, 1664),
    Application("densenet201", DENSENET, "DenseNet201", 224, 18_321_984, 1920),
    Application("inception_v3", INCEPTION_V3, "InceptionV3", 299, 21_802_784, 2048),
    Application(
        "inception_resnet_v2", INCEPTION_RESNET_V2, "InceptionResNetV2", 299, 54_336_736, 1536
    ),
    Application("xception", XCEPTION, "Xception", 299, 20_861_480, 2048),
    Application("nasnet_mobile", NASNET, "NASNetMobile", 224, 4_269_716, 1056),
    Application("nasnet_large", NASNET, "NASNetLarge", 331, 84_916_818, 4032),
    Application("efficientnet_b0", EFFICIENTNET, "EfficientNetB0", 224, 4_049_571, 1280),
    Application("efficientnet_b1", EFFICIENTNET, "EfficientNetB1", 240, 6_575_239, 1280),
    Application("efficientnet_b2", EFFICIENTNET, "EfficientNetB2", 260, 7_768_569, 1408),
    Application("efficientnet_b3", EFFICIENTNET, "EfficientNetB3", 300, 10_783_535, 1536),
    Application("efficientnet_b4", EFFICIENTNET, "EfficientNetB4", 380, 17_673_823, 1792),
    Application("efficientnet_b5", EFFICIENTNET, "EfficientNetB5", 456, 28_513_527, 2048),
    Application("efficientnet_b6", EFFICIENTNET, "EfficientNetB6", 528, 40_960_143, 2304),
    Application("efficientnet_b7", EFFICIENTNET, "EfficientNetB7", 600, 64_097_687, 2560),
    Application("efficientnet_v2_b0", EFFICIENTNET_V2, "EfficientNetV2B0", 224, 5_919_312, 1280),
    Application("efficientnet_v2_b1", EFFICIENTNET_V2, "EfficientNetV2B1", 240, 6_931_124, 1280),
    Application("efficientnet_v2_b2", EFFICIENTNET_V2, "EfficientNetV2B2", 260, 8_769_374, 1408),
    Application("efficientnet_v2_b3", EFFICIENTNET_V2, "EfficientNetV2B3", 300, 12_930_622, 1536),
    Application("efficientnet_v2_s", EFFICIENTNET_V2, "EfficientNetV2S", 384, 20_331_360, 1280),
    Application("efficientnet_v2_m", EFFICIENTNET_V2, "EfficientNetV2M", 480, 53_150_388, 1280),
    Application("efficientnet_v2_l", EFFICIENTNET_V2, "EfficientNetV2L", 480, 117_746_848, 1280),
    Application("convnext_tiny", CONVNEXT, "ConvNeXtTiny", 224, 27_820_128, 768),
    Application("convnext_small", CONVNEXT, "ConvNeXtSmall", 224, 49_454_688, 768),
    Application("convnext_base", CONVNEXT, "ConvNeXtBase", 224, 87_566_464, 1024),
    Application("convnext_large", CONVNEXT, "ConvNeXtLarge", 224, 196_230_336, 1536),
    Application("convnext_xlarge", CONVNEXT, "ConvNeXtXLarge", 224, 348_147_968, 2048),
)

APPLICATIONS: Mapping[str, Application] = {row.name: row for row in _TABLE}
"""The table by name."""
