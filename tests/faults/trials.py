"""Corrupted files, each read in a monitored process.

The process has a memory limit per kind and a time limit of twenty seconds per file. An audit hook
(PEP 578) checks that nothing is run, unpickled, connected to, or written outside its own folder. If
a file ends the process, another one continues after that file.
"""

import faulthandler
import os
import resource
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image
from processes import _context
from readers import KINDS, Kind

PATIENCE = 20.0
"""Time limit per file, in seconds."""

FORBIDDEN = ("os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system")
FORBIDDEN += ("pickle.find_class", "subprocess.Popen", "socket.connect", "socket.bind", "pty.spawn")
CHANGES = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.symlink": 1, "os.link": 1}
CHANGES |= {"os.rename": 1, "os.truncate": 0, "os.chmod": 0, "shutil.move": 1}


@dataclass
class Tally:
    """Outcome of the files of one kind.

    Attributes:
        tried: Number of files read.
        refused: Number of files refused with an `NstkError`.
        exceptions: Files that raised other exceptions.
        hangs: Files that took longer than `PATIENCE`.
        crashes: Files that ended the process.
        strays: Files that left, changed or started something elsewhere.
    """

    tried: int = 0
    refused: int = 0
    exceptions: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """All problems."""
        return self.exceptions + self.hangs + self.crashes + self.strays


def corrupt(kind: Kind, whole, number: int) -> bytes:
    """The corrupted file of this number, always the same."""
    random = Random(f"{kind.name} {number}")
    return kind.corrupt(random, random.choice(whole), random.choice(whole))


def try_kind(name: str, first: int, count: int, folder: Path) -> Tally:
    """Read corrupted files of one kind.

    Args:
        name: Name of the kind.
        first: Number of the first file.
        count: Number of files.
        folder: An empty folder for temporary files.
    """
    tally = Tally()
    start, end, again = first, first + count, False
    while start < end:
        place = folder / f"{start}{'-again' * again}"
        place.mkdir()
        receiver, sender = _context.Pipe(duplex=False)
        worker = _context.Process(target=_work, args=(name, start, end, str(place), sender))
        worker.start()
        sender.close()
        reached, message = start - 1, None
        while True:
            try:
                message = receiver.recv()
            except EOFError:
                break
            reached = message[0]
            _record(tally, name, *message)
        worker.join()
        if reached == end - 1 and message[1] != "begun":
            return tally
        assert reached >= start, (place / "trace").read_text(encoding="utf-8")
        trace = (place / "trace").read_text(encoding="utf-8")[-3000:]
        if "Timeout" in trace and not again:
            start, again = reached, True  # try again: a busy machine is not a hang
            continue
        finding = f"{name} {reached}, ended with {worker.exitcode}: {trace}"
        (tally.hangs if "Timeout" in trace else tally.crashes).append(finding)
        tally.tried += 1
        start, again = reached + 1, False
    return tally


def _record(tally: Tally, name: str, number: int, outcome: str, trace: str = "") -> None:
    if outcome == "begun":
        return
    tally.tried += outcome != "stray"
    tally.refused += outcome == "refused"
    lists = {"exception": tally.exceptions, "stray": tally.strays}
    if outcome in lists:
        lists[outcome].append(f"{name} {number}: {trace}")


def _work(name: str, start: int, end: int, place: str, pipe) -> None:
    home, temporary = Path(place, "home"), Path(place, "tmp")
    for folder in (home, temporary):
        folder.mkdir()
    os.environ.update(HOME=str(home), XDG_CACHE_HOME=str(home))
    tempfile.tempdir = str(temporary)
    os.chdir(home)
    os.dup2(os.open(Path(place, "trace"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    faulthandler.enable(2)
    sys.path.append(str(Path(__file__).resolve().parents[1]))

    Image.init()  # or Pillow does so, with the eval of named tuples, when it first refuses a file
    kind = next(kind for kind in KINDS if kind.name == name)
    whole, read = kind.make()
    path = home / f"input{kind.extension}"
    for content in whole:  # import everything, and check that undamaged files are read
        path.write_bytes(content)
        read(path)
        path.unlink(missing_ok=True)
    _limit_memory(kind.room)
    strays = _watch(Path(place))
    usual = _list(home) | _list(temporary)

    for number in range(start, end):
        path.write_bytes(corrupt(kind, whole, number))
        pipe.send((number, "begun"))
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
        outcome = _try(read, path)
        faulthandler.cancel_dump_traceback_later()
        if path.exists():
            path.unlink()
        left = (_list(home) | _list(temporary)) - usual
        if left or strays:
            usual |= left
            pipe.send((number, "stray", f"{sorted(left)} {''.join(strays)}"))
            strays.clear()
        pipe.send((number, *outcome))


def _try(read, path: Path) -> tuple[str, ...]:
    from nstk.errors import NstkError, printable

    try:
        read(path)
    except NstkError as error:
        if printable(str(error)) != str(error) or not str(error):
            return "exception", f"a message of several lines: {str(error)!r}"
        return ("refused",)
    except BaseException:
        return "exception", traceback.format_exc()
    return ("read",)


def _limit_memory(room: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _watch(place: Path) -> list[str]:
    """Record everything that reading a file must not do."""
    strays: list[str] = []

    def is_inside(path) -> bool:
        return isinstance(path, int) or Path(os.fsdecode(path)).resolve().is_relative_to(place)

    def note(event: str, arguments) -> None:
        stack = "".join(traceback.format_stack(limit=8)[:-2])
        strays.append(f"{event} {arguments!r}"[:300] + f" at\n{stack}")

    def is_stray(event: str, arguments) -> bool:
        if event in CHANGES:
            return not is_inside(arguments[CHANGES[event]])
        if event == "open":
            return _writes(arguments) and not is_inside(arguments[0])
        if event == "exec":
            return not _is_module(arguments[0].co_filename)
        return event in FORBIDDEN

    def hook(event: str, arguments) -> None:
        if is_stray(event, arguments):
            note(event, arguments)

    sys.addaudithook(hook)
    return strays


def _is_module(name: str) -> bool:
    return name.startswith("<frozen ") or os.path.exists(name)


def _writes(arguments) -> bool:
    return bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _list(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if not path.is_dir()}
