"""Layers to tap in each network of keras.applications, read from the built networks.

For each stride this is the deepest layer on which everything after it depends, or simply the
deepest one if there is no such layer. `tests/backbones/test_applications.py` compares them.
"""

from collections.abc import Mapping

TAPS: Mapping[str, str] = {
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
        (f"efficientnet_b{number}" for number in range(8)),
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
"""Layer names by network, the same for all widths, from the finest stride to the coarsest."""
