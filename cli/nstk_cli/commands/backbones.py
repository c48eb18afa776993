"""``nstk backbones``: the networks that have a name."""

from nstk_cli.options import Json
from nstk_cli.output import print_json, print_table


def backbones(*, json: Json = False) -> None:
    """List the frozen networks with their sizes, taps and sources of weights."""
    from nstk.backbones.listing import describe_backbones

    described = describe_backbones()
    if json:
        print_json({"backbones": described})
        return
    print_table(
        ["name", "parameters", "file", "input", "weights", "taps"],
        [
            (
                each["name"],
                f"{each['parameters'] / 1e6:.1f} M",
                f"{each['file_bytes'] / 1e6:.1f} MB",
                f"{each['input_size']} px",
                each["source"].removeprefix("keras.applications "),
                " ".join(each["taps"]),
            )
            for each in described
        ],
        right=["parameters", "file", "input"],
    )
