"""Check digits of national ids, each from the publication of its issuer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from divan_obs_asgi.redaction.numbers import luhn

# The dihedral group of Verhoeff's method, and its permutations.
_D5 = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
_CURP = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"


def _weighted(text: str, weights: Iterable[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(text, weights, strict=False))


def _repeated(text: str) -> bool:
    return len(set(text)) == 1


def is_date(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def tckn(text: str) -> bool:
    digits = [int(digit) for digit in text]
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def vkn(text: str) -> bool:
    total = 0
    for index, digit in enumerate(map(int, text[:9])):
        part = (digit + 9 - index) % 10
        total += 9 if part == 9 else part * 2 ** (9 - index) % 9
    return not _repeated(text) and (10 - total % 10) % 10 == int(text[9])


def cpf(text: str) -> bool:
    def check(size: int) -> int:
        return _weighted(text[:size], range(size + 1, 1, -1)) * 10 % 11 % 10

    return not _repeated(text) and check(9) == int(text[9]) and check(10) == int(text[10])


def cnpj(text: str) -> bool:
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)

    def check(size: int) -> int:
        rest = _weighted(text[:size], weights[13 - size :]) % 11
        return 0 if rest < 2 else 11 - rest

    return not _repeated(text) and check(12) == int(text[12]) and check(13) == int(text[13])


def ssn(text: str) -> bool:
    # Of the Social Security Administration: areas and numbers that are never assigned, and two of advertisements.
    area, group, serial = text[:3], text[3:5], text[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and text not in _PRINTED


_PRINTED = ("078051120", "219099999")


def aadhaar(text: str) -> bool:
    check = 0
    for index, digit in enumerate(map(int, reversed(text))):
        check = int(_D5[check][int(_PERMUTED[index % 8][digit])])
    return check == 0 and text[0] not in "01"


def dni(text: str) -> bool:
    return _DNI[int(text[:8]) % 23] == text[8]


def nie(text: str) -> bool:
    return dni(str("XYZ".index(text[0])) + text[1:])


def nino(text: str) -> bool:
    # HMRC, NIM39110: prefixes that are not used.
    return text[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def nhs(text: str) -> bool:
    return (11 - _weighted(text[:9], range(10, 1, -1)) % 11) % 11 == int(text[9])


def pesel(text: str) -> bool:
    month, day = int(text[2:4]), int(text[4:6])
    check = -_weighted(text[:10], (1, 3, 7, 9) * 3) % 10
    return month < 33 and is_date(month % 20, day) and check == int(text[10])


def codice_fiscale(text: str) -> bool:
    total = sum(
        _ODD[char] if index % 2 == 0 else (int(char) if char.isdigit() else ord(char) - 65)
        for index, char in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


def bsn(text: str) -> bool:
    return not _repeated(text) and _weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def personnummer(text: str) -> bool:
    short = text[-10:]
    day = int(short[4:6])
    return is_date(int(short[2:4]), day - 60 if day > 60 else day) and luhn(short.encode())


def steuer_id(text: str) -> bool:
    product = 10
    for digit in map(int, text[:10]):
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    most = max(text[:10].count(digit) for digit in set(text[:10]))
    return text[0] != "0" and 2 <= most <= 3 and (11 - product) % 10 == int(text[10])


def nir(text: str) -> bool:
    body = text[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and text[13:].isdigit() and 97 - int(body) % 97 == int(text[13:])


def rijksregister(text: str) -> bool:
    known = is_date(int(text[2:4]), int(text[4:6]))
    return known and int(text[9:]) in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97)


def hetu(text: str) -> bool:
    plain = text.translate(_NO_CENTURY)
    digits = plain[:6] + text[-4:-1]
    known = digits.isdigit() and is_date(int(digits[2:4]), int(digits[:2]))
    return known and _HETU[int(digits) % 31] == text[-1]


_NO_CENTURY = str.maketrans("", "", "+-")


def fodselsnummer(text: str) -> bool:
    first = -_weighted(text[:9], (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -_weighted(text[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    day = int(text[:2])
    known = is_date(int(text[2:4]) % 40, day - 40 if day > 40 else day)
    return known and (first, second) == (int(text[9]), int(text[10]))


def cpr(text: str) -> bool:
    return is_date(int(text[2:4]), int(text[:2]))


def ahv(text: str) -> bool:
    return -_weighted(text[:12], (1, 3) * 6) % 10 == int(text[12])


def svnr(text: str) -> bool:
    check = _weighted(text[:3] + text[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return text[0] != "0" and check == int(text[3])


def portuguese_nif(text: str) -> bool:
    rest = _weighted(text[:8], range(9, 1, -1)) % 11
    return text[0] not in "04" and (0 if rest < 2 else 11 - rest) == int(text[8])


def pps(text: str) -> bool:
    total = _weighted(text[:7], range(8, 1, -1)) + (9 * (ord(text[8]) - 64) if len(text) > 8 else 0)
    return (chr(64 + total % 23) if total % 23 else "W") == text[7]


def sin(text: str) -> bool:
    return text[0] not in "08" and luhn(text.encode())


def tfn(text: str) -> bool:
    return not _repeated(text) and _weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def curp(text: str) -> bool:
    total = sum(_CURP.index(char) * weight for char, weight in zip(text, range(18, 1, -1), strict=False))
    return str(-total % 10) == text[17]


def cuit(text: str) -> bool:
    rest = -_weighted(text[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return text[:2] in ("20", "23", "24", "25", "26", "27", "30", "33", "34") and rest == int(text[10])


def rut(text: str) -> bool:
    total = sum(int(digit) * (2 + index % 6) for index, digit in enumerate(reversed(text[:-1])))
    return "0123456789K0"[-total % 11] == text[-1]


def rodne_cislo(text: str) -> bool:
    month = int(text[2:4]) % 50
    return is_date(month - 20 if month > 20 else month, int(text[4:6])) and int(text) % 11 == 0


def cnp(text: str) -> bool:
    check = _weighted(text[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return text[0] != "0" and is_date(int(text[3:5]), int(text[5:7])) and (1 if check == 10 else check) == int(text[12])


def always(text: str) -> bool:
    return True


Check = Callable[[str], bool]

__all__ = ["Check"]
