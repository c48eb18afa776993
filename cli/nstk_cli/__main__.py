"""``python -m nstk_cli`` is ``nstk``."""

from nstk_cli.main import run

if __name__ == "__main__":
    run()
