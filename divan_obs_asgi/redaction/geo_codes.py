"""Positions that are encoded in hexadecimal digits: well-known binary and H3."""

from __future__ import annotations

import math
import re
import struct


def is_wkb(match: re.Match[bytes]) -> bool:
    data = bytes.fromhex(match["hex"][: len(match["hex"]) & ~1].decode())
    order = "<" if data[0] else ">"
    (kind,) = struct.unpack_from(order + "I", data, 1)
    begin = 5 + 4 * bool(kind & 0x20000000)
    if kind & 0x0FFFFFFF & ~0xFF not in (0, 0x300) and kind & 0xFFFF not in range(1001, 3008):
        return False
    if (kind & 0xFFFF) % 1000 != 1:  # A line or a polygon: the first of its points follows after the numbers of them.
        return bool(kind & 0x20000000) and len(data) >= begin + 20
    if len(data) < begin + 16:
        return False
    x, y = struct.unpack_from(order + "2d", data, begin)
    # In degrees or in metres of a projection; other bytes are numbers of other sizes.
    return all(math.isfinite(n) and (n == 0 or 1e-9 < abs(n) < 3e7) for n in (x, y)) and (x, y) != (0, 0)


def is_h3(match: re.Match[bytes]) -> bool:
    index = int(match["cell"], 16)
    resolution, base = index >> 52 & 15, index >> 45 & 127
    digits = [index >> 3 * (15 - level) & 7 for level in range(1, 16)]
    # https://h3geo.org/docs/core-library/h3Indexing: digits beyond the resolution are 7. Resolution 7 is 5 km2.
    return (
        index >> 59 == 1
        and resolution >= 7
        and base < 122
        and all(digit < 7 for digit in digits[:resolution])
        and all(digit == 7 for digit in digits[resolution:])
    )


__all__ = ["is_h3", "is_wkb"]
