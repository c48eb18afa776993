"""Ways to corrupt a file: anywhere in its bytes, or in its content with valid checksums.

All are functions of a `random.Random`, so the kind and the number of an input determine it.
"""

import io
import json
import struct
import zipfile
import zlib
from random import Random

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
EXTREMES += (0xFFFFFFFE, 0x10000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 30_000, 100_000)

TOKENS = (
    b"..",
    b"../../stray",
    b"/tmp/stray",
    b"C:\\stray",
    b"\0",
    b"\n",
    b'"',
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"9" * 5000,
    b"[" * 3000,
    b"{" * 3000,
    b"1e999",
    b"NaN",
    b"|O",
    b"'descr': '|O'",
    b"'shape': (9999999999, 9999999999)",
    b"Lambda",
    b"acTL",
    b"iCCP",
    b"Exif\0\0",
)

VALUES = (
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    10**30,
    -(10**400),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "../../stray",
    "/dev/zero",
    "\ud800",
    "\x1b[2J\n",
    "0",
    [],
    {},
    [None],
    ["a", ["b"]],
    [1, 2, 3],
    {"class_name": "Lambda", "module": "keras.layers", "config": {}},
    {"class_name": "system", "module": "os", "config": {}},
)


def corrupt(random: Random, content: bytes, other: bytes) -> bytes:
    """Corrupt bytes in one to four places.

    Args:
        random: Random number generator.
        content: The file.
        other: Another file, for pieces to insert.
    """
    corrupted = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(MUTATIONS)(random, corrupted, other)
    return bytes(corrupted)


def _place(random, corrupted):
    # Headers say more than pixels, so half of all changes are made there.
    end = len(corrupted) if random.random() < 0.5 else min(len(corrupted), 96)
    return random.randrange(end) if end else 0


def _span(random, content):
    begin = _place(random, content)
    return begin, begin + random.choice((1, 2, 4, 8, 16, 64, 400))


def _flip(random, corrupted, _):
    if corrupted:
        corrupted[_place(random, corrupted)] ^= 1 << random.randrange(8)


def _replace(random, corrupted, _):
    if corrupted:
        corrupted[_place(random, corrupted)] = random.randrange(256)


def _cut_short(random, corrupted, _):
    del corrupted[_place(random, corrupted) :]


def _remove(random, corrupted, _):
    begin, end = _span(random, corrupted)
    del corrupted[begin:end]


def _repeat(random, corrupted, _):
    begin, end = _span(random, corrupted)
    corrupted[begin:begin] = corrupted[begin:end] * random.choice((1, 2, 50))


def _splice(random, corrupted, other):
    begin, end = _span(random, other)
    place = _place(random, corrupted)
    corrupted[place : place + random.choice((0, end - begin))] = other[begin:end]


def _claim(random, corrupted, _):
    """Write an extreme number where a length or a size may be."""
    size = random.choice((1, 2, 4, 8))
    number = random.choice(EXTREMES) & (1 << 8 * size) - 1
    place = _place(random, corrupted)
    if random.random() < 0.5:
        place -= place % size
    corrupted[place : place + size] = number.to_bytes(size, random.choice(("big", "little")))


def _insert(random, corrupted, _):
    place = _place(random, corrupted)
    corrupted[place:place] = random.choice(TOKENS)


MUTATIONS = (_flip, _flip, _replace, _cut_short, _remove, _repeat, _splice, _claim, _claim, _insert)


def corrupt_png(random: Random, content: bytes, other: bytes) -> bytes:
    """Corrupt a PNG, half of the time with valid checksums."""
    corrupted = corrupt(random, content, other)
    return _check_chunks(corrupted) if random.random() < 0.5 else corrupted


def _check_chunks(content: bytes) -> bytes:
    right, place = bytearray(content), 8
    while place + 12 <= len(right):
        (length,) = struct.unpack_from(">I", right, place)
        end = place + 8 + length
        if end + 4 > len(right):
            break
        struct.pack_into(">I", right, end, zlib.crc32(right[place + 4 : end]))
        place = end + 4
    return bytes(right)


def corrupt_json(random: Random, content: bytes, other: bytes) -> bytes:
    """Replace one to three parts of a JSON value; sometimes corrupt its bytes."""
    try:
        value = json.loads(content)
    except ValueError:
        return corrupt(random, content, other)
    if random.random() < 0.15:
        return corrupt(random, content, other)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _replace_somewhere(random, value)
    return json.dumps(value).encode()


def _replace_somewhere(random, value):
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(VALUES)
    place = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy = value.copy()
    if random.random() < 0.1:
        del copy[place]
    else:
        copy[place] = _replace_somewhere(random, value[place])
    return copy


def corrupt_lines(random: Random, content: bytes, other: bytes) -> bytes:
    """Corrupt a line of JSON, a cell of a table, or any byte."""
    lines = content.splitlines(keepends=True)
    choice = random.random()
    if not lines or choice < 0.4:
        return corrupt(random, content, other)
    number = random.randrange(len(lines))
    if lines[number].startswith(b"{"):
        lines[number] = corrupt_json(random, lines[number], other) + b"\n"
    else:
        cells = lines[number].rstrip(b"\r\n").split(b",")
        cells[random.randrange(len(cells))] = random.choice((*TOKENS, b"", b"train", b"[1]"))
        lines[number] = b",".join(cells) + b"\r\n"
    if choice > 0.9:
        lines += random.choices(lines, k=3)
    return b"".join(lines)


def corrupt_zip(random: Random, content: bytes, other: bytes) -> bytes:
    """Corrupt the bytes of a zip, or its content, or the names of its members."""
    if random.random() < 0.3:
        return corrupt(random, content, other)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    packed = io.BytesIO()
    chosen = random.randrange(len(members))
    with zipfile.ZipFile(packed, "w", random.choice((0, zipfile.ZIP_DEFLATED))) as archive:
        for number, (info, inner) in enumerate(members):
            name = info.filename
            if number == chosen:
                name, inner = _corrupt_member(random, name, inner, other)
            if name is not None:
                archive.writestr(zipfile.ZipInfo(name), inner)
    return packed.getvalue()


def _corrupt_member(random, name, inner, other):
    choice = random.random()
    if choice < 0.05:
        return None, inner
    if choice < 0.12:
        return random.choice(("../stray", "/tmp/stray", "a\nb", "x" * 200, name.upper())), inner
    change = corrupt_json if inner.startswith(b"{") else corrupt
    return name, change(random, inner, other)
