"""``nstk backbones``: the networks that have a name."""

from nstk_cli.options import Json
from nstk_cli.output import print_json, print_text


def backbones(*, json: Json = False) -> None:
    """List the frozen networks with their sizes, taps and sources of weights."""
    from nstk.backbones.listing import describe_backbones

    described = {"backbones": describe_backbones()}
    if json:
        print_json(described)
    else:
        print_text("backbones.txt", **described)
