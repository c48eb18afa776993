"""``nstk backbones``: the networks that go by a name."""


def backbones() -> None: ...
