"""The settings of `nstk label` and `nstk page`."""

from dataclasses import dataclass

from nstk.settings.fields import INFINITY, MAX_SEED, Settings, setting


@dataclass(frozen=True, kw_only=True)
class LabelSettings(Settings):
    """Which images are asked for, and what an answer is."""

    multi_label: bool = setting(False, "Images may have several labels, or none")
    limit: int | None = setting(
        None, "Stop after this many answers; default: when every image has one", span=(1, INFINITY)
    )
    seed: int = setting(0, "Random seed of the clusters of typical images", span=(0, MAX_SEED))


@dataclass(frozen=True, kw_only=True)
class PageSettings(Settings):
    """Where the local page can be opened."""

    port: int = setting(8765, "Port of the page; 0 takes a free one", span=(0, 65535))
    host: str = setting(
        "127.0.0.1", "Address to listen at; others than this machine's own need the consent"
    )
    i_know_others_can_connect: bool = setting(
        False,
        "Allow a --host that other machines reach; the token of the address is all that keeps "
        "them out",
    )
