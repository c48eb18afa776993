"""The available memory is the least of all limits."""

import subprocess
import sys

import pytest
from shell import environment

from nstk.stylization.tiled import memory

MEBIBYTE = 2**20


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A nested control group; ``group(name, **files)`` writes the kernel's files."""
    read = memory._read_lines
    own = tmp_path / "outer" / "inner"
    own.mkdir(parents=True)

    def lines(path):
        return ["0::/outer/inner"] if str(path) == "/proc/self/cgroup" else read(path)

    monkeypatch.setattr(memory, "_read_lines", lines)

    def write(place, **files):
        for name, content in files.items():
            (tmp_path / place / f"memory.{name}").write_text(content)
        return memory._available_in_cgroups(tmp_path)

    return write


def test_a_group_without_a_limit_is_ignored(group):
    assert group("outer/inner", max="max\n", current="5\n") is None


def test_the_tightest_group_counts_without_the_file_cache(group):
    full = f"{100 * MEBIBYTE}\n"
    assert group("outer", max=full, current=f"{30 * MEBIBYTE}\n") == 70 * MEBIBYTE
    stat = f"anon 1\ninactive_file {5 * MEBIBYTE}\n"
    left = group("outer/inner", max=full, current=f"{60 * MEBIBYTE}\n", stat=stat)
    assert left == 45 * MEBIBYTE


def test_a_group_over_its_limit_has_no_memory_left(group):
    assert group("outer/inner", max="10\n", current="50\n") == 0


def test_a_group_may_have_a_name_that_is_not_utf_8(tmp_path):
    (tmp_path / "cgroup").write_bytes(b"0::/gr\xfc\xdfe\n")
    assert memory._read_lines(tmp_path / "cgroup") == ["0::/gr\udcfc\udcdfe"]


def test_a_limited_address_space_counts():
    code = (
        "import resource; from nstk.stylization.tiled.memory import available_memory\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        f"limit = pages * resource.getpagesize() + {64 * MEBIBYTE}\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); print(available_memory())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert 32 * MEBIBYTE < int(answer.stdout) <= 64 * MEBIBYTE
