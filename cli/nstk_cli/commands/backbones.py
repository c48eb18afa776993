"""``nstk backbones``: the networks that go by a name."""

import nstk
from nstk_cli.options import Json
from nstk_cli.output import print_json, print_table


def backbones(*, json: Json = False) -> None:
    """List the frozen networks: their size, their taps, where their weights come from."""
    described = nstk.describe_backbones()
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
