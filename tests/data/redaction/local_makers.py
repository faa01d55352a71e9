# ruff: noqa: E501, RUF001 - a template is one line.
"""Makers of national ids, local phone numbers, keys of other languages, and positions in other notations."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from urllib.parse import urlencode

from divan_obs_asgi.redaction import national_ids as ids

Made = tuple[object, tuple[str, ...]]
PER_TEMPLATE = 3


def digits(rng: Random, pattern: str, valid: ids.Check = ids.always) -> str:
    """Return a text of this pattern (9: a digit, A: a capital) whose check digits are valid."""
    for _ in range(100_000):
        text = "".join(
            str(rng.randrange(10)) if char == "9" else chr(rng.randrange(65, 91)) if char == "A" else char
            for char in pattern
        )
        if not text.startswith("0") and valid("".join(char for char in text if char.isalnum())):
            return text
    raise AssertionError(pattern)


# The word that names an id, and one of its ids.
IDS: Mapping[str, Callable[[Random], str]] = {
    "tckn": lambda rng: digits(rng, "99999999999", ids.tckn),
    "vkn": lambda rng: digits(rng, "9999999999", ids.vkn),
    "cpf": lambda rng: digits(rng, "999.999.999-99", ids.cpf),
    "cnpj": lambda rng: digits(rng, "99.999.999/0001-99", ids.cnpj),
    "ssn": lambda rng: digits(rng, "999-99-9999", ids.ssn),
    "aadhaar": lambda rng: digits(rng, "9999 9999 9999", ids.aadhaar),
    "dni": lambda rng: digits(rng, "99999999A", ids.dni),
    "nie": lambda rng: digits(rng, "X9999999A", ids.nie),
    "nino": lambda rng: f"AB {rng.randrange(10, 99)} {rng.randrange(10, 99)} {rng.randrange(10, 99)} C",
    "pesel": lambda rng: digits(rng, "8906" + "12" + "99999", ids.pesel),
    "codice fiscale": lambda rng: digits(rng, "AAAAAA85T10A562A", ids.codice_fiscale),
    "bsn": lambda rng: digits(rng, "999999999", ids.bsn),
    "personnummer": lambda rng: digits(rng, "811228-9999", ids.personnummer),
    "steuer-id": lambda rng: digits(rng, "99 999 999 999", ids.steuer_id),
    "nir": lambda rng: digits(rng, "1 84 12 76 999 999 99", ids.nir),
    "rijksregisternummer": lambda rng: digits(rng, "85.07.30-999.99", ids.rijksregister),
    "hetu": lambda rng: digits(rng, "131052-999A", ids.hetu),
    "fodselsnummer": lambda rng: digits(rng, "13105299999", ids.fodselsnummer),
    "ahv": lambda rng: digits(rng, "756.9999.9999.99", ids.ahv),
    "cuit": lambda rng: digits(rng, "20-99999999-9", ids.cuit),
    "rut": lambda rng: digits(rng, "12.999.999-9", ids.rut),
    "cnp": lambda rng: digits(rng, "1850612999999", ids.cnp),
    "tfn": lambda rng: digits(rng, "999 999 999", ids.tfn),
    "nhs number": lambda rng: digits(rng, "999 999 9999", ids.nhs),
    "rodne cislo": lambda rng: digits(rng, "856121/9999", ids.rodne_cislo),
}
PHONES: Mapping[str, Sequence[str]] = {
    "gsm": ("0532 123 45 67", "05321234567", "0 (532) 123 45 67", "532 123 4567"),
    "telefon": ("0212 555 12 34", "(0212) 555 12 34", "030 12345678"),
    "telefone": ("(11) 98765-4321", "11 98765 4321"),
    "phone": ("555-867-5309", "(555) 867-5309", "555.867.5309", "020 7946 0958"),
    "movil": ("612 345 678", "612345678"),
    "cellulare": ("347 123 4567", "3471234567"),
    "handy": ("0171 2345678", "0171/2345678"),
    "portable": ("06 12 34 56 78", "06.12.34.56.78"),
    "mobil": ("070-123 45 67", "0701234567"),
}
KEYS = {
    "credential": "şifre parola sifresi passwort kennwort contraseña clave senha mot_de_passe motDePasse wachtwoord hasło heslo lösenord passord salasana",
    "birth": "dogum_tarihi doğumTarihi geburtsdatum fecha_nacimiento data_nascimento date_naissance data_di_nascita geboortedatum data_urodzenia dob date_of_birth",
    "address": "ev_adresi teslimat_adresi anschrift domicilio endereco indirizzo woonadres adres_zamieszkania home_address street_address",
    "name": "soyadi ad_soyad nachname apellidos sobrenome cognome achternaam nazwisko prenom efternamn",
}
# Keys in other scripts than Latin, by whether rules were written with them at hand.
SCRIPTS_LEARNED: Mapping[str, str] = {
    "credential": "пароль 密码 パスワード كلمة_المرور κωδικός סיסמה 비밀번호 ПАРОЛЬ новый_пароль 登录密码 токен رمز_عبور रहस्य_पासवर्ड",
    "phone": "телефон 手机号 電話番号 전화번호 رقم_الهاتف טלפון τηλέφωνο",
    "name": "фамилия 姓名 氏名 성명 נחלה_שם_משפחה",
    "birth": "дата_рождения 出生日期 生年月日 생년월일",
}
SCRIPTS_HELD_OUT: Mapping[str, str] = {
    "credential": "Пароль старый_пароль парола лозинка 用户密码 支付密碼 確認パスワード كلمة_السر Κωδικός_πρόσβασης סיסמא 암호 секрет รหัสผ่าน",
    "phone": "Телефон номер_телефона 联系电话 携帯電話 휴대폰 הטלפון κινητό",
    "name": "Фамилия 真实姓名 お名前 ονοματεπώνυμο",
    "birth": "день_рождения 生日 誕生日 ημερομηνία_γέννησης",
}
# Of programs that write such keys: as they are, with escapes, as bytes and as entities.
ESCAPED: Mapping[str, Callable[[str, str], str]] = {
    "json.dumps": lambda word, value: json.dumps({word: value, "n": 1}),
    "json in json": lambda word, value: json.dumps({"body": json.dumps({word: value})}),
    "text": lambda word, value: f"saved {word}={value} in 3 ms",
    "name and value": lambda word, value: json.dumps([{"name": word, "value": value}], ensure_ascii=False),
}
ESCAPED_HELD_OUT: Mapping[str, Callable[[str, str], str]] = {
    "urlencode": lambda word, value: f"POST /a?{urlencode({word: value, 'n': 1})} HTTP/1.1",
    "repr": lambda word, value: f"form { ({word: value, 'n': 1})!r}",
    "ascii": lambda word, value: f"kwargs { ({'n': 1, word: value})!a}",
    "bytes": lambda word, value: f"body {json.dumps({word: value}, ensure_ascii=False).encode()!r}",
    "wide": lambda word, value: f"{word}：{value}",
    "xml": lambda word, value: f"<{word}>{value}</{word}>",
}
SCRIPTS_HARMLESS = [
    "Неверный пароль: попробуйте снова", "пароль: неверный", "длина_пароля=12", "тип_телефона=мобильный", "пароль изменён", "спин: 5",
    "密码长度=8", "密码：错误", "密码学=入门", "请输入密码", "重置密码成功", "パスワードリセット完了", "パスワード: 必須です",
    "비밀번호 오류", "비밀번호: 틀렸습니다", "كلمة المرور غير صحيحة", "סיסמה שגויה", "Κωδικός σφάλματος: 404", "λάθος κωδικός",
    '{"длина_пароля": 12}', '{"\\u0446\\u0432\\u0435\\u0442": "red"}', "город: Москва", "城市：北京", "状态: 200", "имя файла: a.txt", "тест=1",
]  # fmt: skip
VALUES: Mapping[str, Sequence[str]] = {
    "phone": ("0532 123 45 67", "+7 912 345-67-89", "13812345678"),
    "credential": ("hunter2xyz", "Gizli!2026", "azerty-99"),
    "birth": ("1985-03-12", "12.03.1985", "12/03/1985"),
    "address": ("Moda Cad. 5", "Hauptstrasse 12", "Rua Augusta 1500"),
    "name": ("Yilmaz", "Schneider", "Oliveira"),
}


# https://h3geo.org/docs/quickstart, and other cells around San Francisco and Berlin, of the resolutions 7 to 15.
CELLS = (
    "8928308280fffff",
    "891f1d48177ffff",
    "872830828ffffff",
    "8f2830828052d25",
    "8a28308280f7fff",
    "891f1d4893bffff",
)


def _point(order: str, srid: bool, x: float, y: float) -> str:
    mark = b"\x01" if order == "<" else b"\x00"
    kind = struct.pack(order + "I", 1 | srid << 29)
    return (mark + kind + (struct.pack(order + "I", 4326) if srid else b"") + struct.pack(order + "2d", x, y)).hex()


def _place(rng: Random) -> dict[str, str]:
    """Return the parts of a position in many notations, with two decimals only."""
    lat, lon = round(rng.uniform(36.01, 59.98), 2) + 0.001, round(rng.uniform(10.01, 29.98), 2) + 0.001
    minutes = {
        "latm": f"{rng.randrange(10, 60)}",
        "lonm": f"{rng.randrange(10, 60)}",
        "lats": f"{rng.randrange(10, 60)}",
        "lons": f"{rng.randrange(10, 60)}",
    }
    code = "".join(rng.choices("23456789CFGHJMPQRVWX", k=5))
    return {
        "lat": f"{lat:.2f}", "lon": f"{lon:.2f}", "latd": f"{int(lat)}", "lond": f"{int(lon)}", **minutes,
        "ewkb": _point("<", True, lon, lat), "wkb": _point("<", False, lon, lat), "xdr": _point(">", True, lon, lat).upper(),
        "plus": f"8G{code}C+{rng.choice('23456789')}F",
        "short": f"{code[:3]}C+{code[:2]}", "h3": rng.choice(CELLS),
        "words": ".".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(3)),
        "e7": f"{int(lat * 1e7)}", "hash": "u33" + "".join(rng.choices("bcdefg", k=5)),
    }  # fmt: skip


PLACES_LEARNED: Mapping[str, Sequence[str]] = {
    "words": (
        "lat <lat> lon <lon>",
        "lat: <lat>, lng: <lon>",
        "at lat/lon <lat>,<lon>",
        "enlem <lat> boylam <lon>",
        "<lat> N, <lon> E",
    ),
    "google": ("https://maps.example/@<lat>,<lon>,15z", "!3d<lat>!4d<lon>", "maps?q=<lat>,<lon>&hl=en"),
    "degrees": (
        "<latd>°<latm>'<lats>\"N <lond>°<lonm>'<lons>\"E",
        "<latd>°<latm>′<lats>″N, <lond>°<lonm>′<lons>″E",
        "N <latd>° <latm>.200 E 0<lond>° <lonm>.300",
    ),
    "nmea": ("$GPGGA,123519,<latd><latm>.038,N,0<lond><lonm>.000,E,1,08,0.9,545.4,M,46.9,M,,*47",),
    "postgis": (
        "SRID=4326;POINT(<lon> <lat>)",
        "geom <ewkb>",
        "geom=\\x<wkb>",
        "LINESTRING(<lon> <lat>, <lon> <lat>)",
        "<xdr>",
    ),
    "codes": ("meet at <plus>", "near <short> Berlin", "cell <h3>", "at ///<words> now", "geohash=<hash>"),
    "uri": ("geo:<lat>,<lon>;u=35", "geo:<lat>,<lon>"),
    "object": ("location: {x: <lon>, y: <lat>}", '{"geom": {"x": <lon>, "y": <lat>}}'),
}
PLACES_HELD_OUT: Mapping[str, Sequence[str]] = {
    "gpx": ('<trkpt lat="<lat>" lon="<lon>">', '<wpt lat="<lat>" lon="<lon>"><ele>4</ele></wpt>'),
    "kml": ("<Point><coordinates><lon>,<lat>,0</coordinates></Point>",),
    "gpsd": ('{"class":"TPV","mode":3,"lat":<lat>,"lon":<lon>}',),
    "owntracks": ('{"_type":"location","acc":12,"lat":<lat>,"lon":<lon>,"tst":1764460800}',),
    "traccar": ("id: 7, time: 2026-11-30 09:00:00, lat: <lat>, lon: <lon>, course: 0.0",),
    "openstreetmap": ("https://osm.example/#map=15/<lat>/<lon>", "https://osm.example/?mlat=<lat>&mlon=<lon>"),
    "exiftool": ("GPS Position : <latd> deg <latm>' <lats>.00\" N, <lond> deg <lonm>' <lons>.00\" E",),
    "rmc": ("$GPRMC,123519,A,<latd><latm>.038,N,0<lond><lonm>.000,E,022.4,084.4,230394,003.1,W*6A",),
    "shapely": (
        "<POINT (<lon> <lat>)>",
        "MULTIPOINT ((<lon> <lat>), (<lon> <lat>))",
        "nearest: POLYGON ((<lon> <lat>, <lon> <lat>))",
    ),
    "geojson": (
        '{"type":"Point","coordinates":[<lon>,<lat>]}',
        "'geometry': {'type': 'Point', 'coordinates': [<lon>, <lat>]}",
    ),
    "geoserver": ("crs=EPSG:4326 geometry=<ewkb>", "WKB: <wkb>", "0x<wkb>"),
    "mavlink": ("GLOBAL_POSITION_INT {time_boot_ms : 7, lat : <e7>, lon : <e7>}",),
    "h3-py": ("latlng_to_cell -> '<h3>'", "{'h3': '<h3>', 'n': 3}"),
    "share": ("https://plus.codes/<plus>", "https://w3w.co/<words>", "https://what3words.com/<words>?q=1"),
    "waze": ("https://waze.example/ul?ll=<lat>%2C<lon>&navigate=yes",),
    "sql": ("SELECT ST_GeomFromText('POINT(<lon> <lat>)', 4326)", "VALUES ('SRID=4326;POINT(<lon> <lat>)')"),
}
PLACES_HARMLESS = {
    "logs": ["latency 3.25 longest 5.34", "lat=3.2ms", "elapsed 12.34 s, 13.45 s", "step 10 S 20 W", "took 1.5 N 2.5 x", "ratio +12.34+123.45", "lib 2.3.4+22", "C++17 Build", "v1.8.2+22 Build"],
    "pixels": ["position: {x: 120, y: 340}", "offset {x: 12.5, y: 3.5}", "scale: {x: 1.5, y: 1.5}", '{"position": {"x": 12.5, "y": 33.25}}', "point (12 34)", "POINT(3 4) clicked", "mouse at (120.5, 340.25)"],
    "hex": ["sha256 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", "trace 8f3a5b2c1d4e5f6a8f3a5b2c1d4e5f6a", "span 8f3a5b2c1d4e5f6a", "id 8f3a5b2c1d4e5f6"],
    "paths": ["file:///usr.local.bin", "/// foo.bar.baz", "import a.b.c", "geo:eu", "map=3/a", "http://a.example/@1.2/x", "GET /v1/curve(3)"],
    "code": ["polygon with 12 points", "12345678+22", "2026-11-30T09:30:22+00:00", "RTX 4090 24 GB", "33U rack unit", "TLS 1.3 E 1.2"],
}  # fmt: skip
NOTATIONS_LEARNED = ("{word}: {value}", "{word}={value}", '{{"{word}": "{value}"}}', "{word} {value} kept")
NOTATIONS_HELD_OUT = (
    "INFO user saved {word}={value} in 3 ms",
    "POST /a?{word}={value}&page=2 200",
    "{{'id': 7, '{word}': '{value}'}}",
    "  {word}: {value}\n",
    '<field name="{word}">{value}</field>',
    '{{\\"{word}\\":\\"{value}\\"}}',
    "[{word}] => {value}",
    "({word}='{value}', ok=True)",
)
IDS_HARMLESS = [
    *(f"order {number}" for number in ("10000000146", "52998224725", "123456789")),
    "user 10000000147 in", "ref 666-45-6789", "x 912-45-6789", "n 000-12-3456", "529.982.247-24 x", "build 12345678", "12345678A",
    "QQ123456C", "11.222.333/0001-82", "ts 1764460800123", "2026-11-30", "20261130-1530", "v1.2.3-4", "10.0.0.1", "192.168.100.200",
    "took 10000000146 ns", "offset 10000000146", "cpf 529.982.247-26", "aadhaar 2341 2341 2345", "dni 12345678A", "pesel 44051401358",
    "bsn 111222334", "1 84 12 76 451 089 47", "756.9217.0769.84", "12.345.678-9", "RSSMRA85T10A562T", "tckn gecersiz", "cpf invalido",
    "tel aviv 2026", "call 3 failed", "call took 5321234567 ns", "phone model 12", "sms sent in 1234567 us", "contact 12 rows", "ring 0 of 3",
    "cell 3,4", "mobile 404", "telefon modeli: 12", "ip adresi: 10.0.0.1", "adres: http://x.example/y", "sifre_uzunlugu=12", "parola gecersiz",
    "passwort_lange=8", "called 1234567 times", "fax queue 12", "gsm signal 3", "calling convention 64", "hat 3 kere", "senha incorreta",
]  # fmt: skip


def positions(makers: Mapping[str, Sequence[str]], rng: Random) -> Iterator[Made]:
    for templates in makers.values():
        for template in templates:
            for _ in range(PER_TEMPLATE):
                yield _filled(template, _place(rng))


def _filled(template: str, parts: Mapping[str, str]) -> Made:
    used = [name for name in parts if f"<{name}>" in template]
    text, secrets = template, tuple(dict.fromkeys(parts[name] for name in used))
    if any(len(secret) < 4 for secret in secrets):  # The secret is the whole position.
        first, last = template.index("<"), template.rindex(">") + 1
        secrets = (_replaced(template[first:last], parts),)
    return _replaced(text, parts), secrets


def _replaced(text: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        text = text.replace(f"<{name}>", part)
    return text


def national(notations: Sequence[str], rng: Random) -> Iterator[Made]:
    for word, make in IDS.items():
        for notation in notations:
            value = make(rng)
            key = word if " kept" in notation else word.replace(" ", "_").replace("-", "_")
            yield notation.format(word=key, value=value), (value,)


def phones(notations: Sequence[str], rng: Random) -> Iterator[Made]:
    for word, numbers in PHONES.items():
        for notation in notations:
            number = rng.choice(numbers)
            yield notation.format(word=word, value=number), (number,)


def foreign_keys(notations: Sequence[str], rng: Random) -> Iterator[Made]:
    for kind, words in KEYS.items():
        for word in words.split():
            value = rng.choice(VALUES[kind])
            yield rng.choice(notations).format(word=word, value=value), (value,)


def other_scripts(rng: Random, *, held_out: bool) -> Iterator[Made]:
    """Yield the cases of keys in other scripts than Latin, one for each key and maker."""
    for kind, words in (SCRIPTS_HELD_OUT if held_out else SCRIPTS_LEARNED).items():
        for word in words.split():
            for write in (ESCAPED_HELD_OUT if held_out else ESCAPED).values():
                value = rng.choice(VALUES[kind])
                yield (
                    write(word, value),
                    (value.replace(" ", "+") if write is ESCAPED_HELD_OUT["urlencode"] else value,),
                )
    yield from ((value, ()) for value in SCRIPTS_HARMLESS)


def kinds(rng: Random, *, held_out: bool) -> dict[str, list[Made]]:
    """Return the cases of each kind: those of makers that rules were written for, or of the others."""
    notations = NOTATIONS_HELD_OUT if held_out else NOTATIONS_LEARNED
    by_key = notations if held_out else notations[:3]
    harmless = [value for values in PLACES_HARMLESS.values() for value in values]
    return {
        "position_notation": [
            *positions(PLACES_HELD_OUT if held_out else PLACES_LEARNED, rng),
            *((value, ()) for value in harmless),
        ],
        "locale_national_id": [*national(notations, rng), *((value, ()) for value in IDS_HARMLESS)],
        "locale_phone": list(phones(notations, rng)),
        "locale_key": list(foreign_keys(by_key, rng)),
        "script_key": list(other_scripts(rng, held_out=held_out)),
    }
