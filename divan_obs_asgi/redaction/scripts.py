# ruff: noqa: E501, RUF001 - a list of words is one line, and has letters of its script.
"""Keys of secrets in other scripts than Latin, for which rules read stand-ins in ASCII: `пароль` is `zzz_zq`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import re2

# The last word of each stand-in. Words of two letters are keys in Chinese and Japanese, and a stand-in has the length of
# its word, so that positions stay the same.
STAND_INS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "credential": "zq",
        "phone": "zx",
        "email": "qx",
        "person_name": "xq",
        "birth_date": "qz",
        "postal_address": "jq",
        "national_id": "qj",
        "position": "jz",
    }
)
ABOUT: Final = "jx"
"""The stand-in for a word such as "length": its key describes a secret."""

# By rule; a comma or a line end separates phrases.
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "credential": """
            пароль, пароля, пароли, паролем, парол, парола, паролата, лозинка, секрет, секретный ключ, ключ доступа, токен
            пин, пин код, пинкод, код подтверждения, кодовое слово, пассворд, құпия сөз, құпиясөз, нууц үг, ключ апи
            密码, 密碼, 口令, 密钥, 密鑰, 秘钥, 私钥, 私鑰, 令牌, 验证码, 驗證碼
            パスワード, パスフレーズ, 暗証番号, 合言葉, 秘密鍵, 認証コード, トークン, シークレット
            비밀번호, 패스워드, 암호, 토큰, 인증번호, 비번, 비밀키
            كلمة المرور, كلمه المرور, كلمة السر, كلمه السر, كلمة مرور, كلمة سر, الرقم السري, رمز التحقق, رمز المرور, باسورد, باسوورد
            رمز عبور, کلمه عبور, گذرواژه, پسورد, رمز, پاس ورڈ
            סיסמה, סיסמא, סיסמתי, ססמה, קוד אימות, מפתח סודי, קוד סודי
            κωδικός, κωδικός πρόσβασης, κωδικό πρόσβασης, συνθηματικό, μυστικό, κλειδί πρόσβασης, κωδικό, κωδικός ασφαλείας
            पासवर्ड, कूटशब्द, পাসওয়ার্ড, கடவுச்சொல், రహస్యపదం, รหัสผ่าน, პაროლი, գաղտնաբառ
        """,
        "phone": """
            телефон, телефона, телефону, телефоны, мобильный, мобилен, моб, тел, номер телефону
            电话, 電話, 手机, 手機, 手机号, 手機號, 手机号码, 手機號碼, 电话号码, 電話號碼, 電話番号, 携帯電話, 携帯番号, 携帯
            전화번호, 전화, 휴대폰, 핸드폰, 연락처, 휴대전화, 휴대폰번호, 핸드폰번호
            رقم الهاتف, الهاتف, هاتف, جوال, الجوال, رقم الجوال, موبايل, تلفن, شماره تلفن, تلفن همراه, موبایل, رقم الموبايل
            טלפון, הטלפון, נייד, מספר טלפון, τηλέφωνο, τηλεφώνου, κινητό, κινητού, τηλ
            फोन, फोन नंबर, मोबाइल, मोबाइल नंबर, โทรศัพท์, เบอร์โทร, เบอร์โทรศัพท์, ტელეფონი, հեռախոս
        """,
        "email": """
            почта, почты, эл почта, имейл, емейл, емайл, пошта, электронная почта, адрес почты
            邮箱, 郵箱, 电子邮件, 電子郵件, 邮件地址, メールアドレス, 이메일, 전자우편
            البريد الإلكتروني, البريد الالكتروني, بريد إلكتروني, ایمیل, אימייל, ईमेल, อีเมล, ηλεκτρονικό ταχυδρομείο
        """,
        "person_name": """
            фамилия, фамилии, отчество, фио, полное имя, имя и фамилия, имя фамилия, прізвище, фамилно име
            姓名, 真实姓名, 氏名, お名前, 성명, الاسم الكامل, اسم العائلة, الاسم الأول, نام خانوادگی
            שם מלא, שם משפחה, שם פרטי, επώνυμο, ονοματεπώνυμο
        """,
        "birth_date": """
            дата рождения, день рождения, дата народження, рождена дата, 出生日期, 出生年月, 生日, 生年月日, 誕生日
            생년월일, 생일, تاريخ الميلاد, تاریخ تولد, תאריך לידה, ημερομηνία γέννησης
        """,
        "postal_address": """
            адрес проживания, домашний адрес, адрес доставки, почтовый адрес, почтовый индекс, домашня адреса
            家庭住址, 住址, 住所, 邮编, 邮政编码, 郵便番号, 집주소, 우편번호, عنوان المنزل, עיר מגורים, כתובת מגורים
            διεύθυνση κατοικίας, ταχυδρομικός κώδικας
        """,
        "national_id": """
            инн, снилс, паспорт, паспорта, номер паспорта, 身份证, 身份证号, 身份证号码, 身份證, マイナンバー, 個人番号
            주민등록번호, 주민번호, رقم الهوية, الرقم القومي, کد ملی, תעודת זהות, αφμ, αμκα
        """,
        "position": """
            широта, долгота, координаты, широты, долготы, 纬度, 经度, 緯度, 経度, 經度, 坐标, 座標, 위도, 경도, 좌표
            خط العرض, خط الطول, الإحداثيات, קו רוחב, קו אורך, γεωγραφικό πλάτος, γεωγραφικό μήκος, συντεταγμένες
        """,
    }
)
# With a key of a secret these describe it: `длина_пароля` is the length of a password.
_ABOUT = """
    длина, тип, срок, срок действия, количество, число, попытки, попыток, истечение, хеш алгоритм, смена, сброс, политика
    长度, 長度, 类型, 類型, 强度, 过期时间, 过期, 次数, 長さ, 期限, 種類, 回数, 길이, 유형, 만료, 횟수
    طول, نوع, عدد, אורך, סוג, מספר ניסיונות, μήκος, τύπος, πλήθος
"""
# Values that are a result of a check and not a secret, as `wrong` and `missing` are in English.
_NO_SECRETS = """
    неверный, неверен, неверно, неправильный, неправильно, нет, не, пустой, обязателен, обязательно, истек, изменен, обновлен
    принят, отклонен, отсутствует, введите, должен, слишком, просрочен, верный, сброшен, скрыт, скрыто, указан
    错误, 錯誤, 无效, 無效, 不正确, 不能为空, 为空, 必填, 已过期, 成功, 失败, 失敗, 正确, 已修改, 无, 不匹配
    必須, 必須です, 無効, 無効です, 不正です, 正しくありません, 間違っています, 未設定, 設定済み, なし
    오류, 틀림, 틀렸습니다, 필수, 필수입니다, 만료, 만료됨, 없음, 일치하지
    خطأ, غير, مطلوب, مطلوبة, خاطئة, صحيحة, שגוי, שגויה, נדרש, נדרשת, חסר, לא, λάθος, άκυρος, λείπει, απαιτείται
"""

# Two letters that differ between Arabic and Persian keyboards only.
_SAME = {"ک": "ك", "ی": "ي", "ى": "ي", "ه": "ة", "ς": "σ"}
_KANA = re.compile("[\u3040-\u30ff]")
_FIRST = 0x370  # Greek is the first script that is not Latin.


class _Folds(dict[int, int]):
    """For `str.translate`: caches the small letter without its mark for each letter, one character for one."""

    _MOST = 8192

    def __missing__(self, code: int) -> int:
        folded = code if code < _FIRST else ord(_folded(chr(code)))
        if len(self) >= self._MOST:
            self.clear()
        self[code] = folded
        return folded


def _folded(char: str) -> str:
    wide = unicodedata.normalize("NFKC", char)
    apart = unicodedata.normalize("NFD", wide if len(wide) == 1 else char)
    first, marks = apart[0], apart[1:]
    # The parts of a syllable in Hangul are letters, not marks.
    base = first if all(unicodedata.category(mark) == "Mn" for mark in marks) else char
    small = base.lower()
    return _SAME.get(small, small) if len(small) == 1 else char


_FOLDS: Final = _Folds()


def _phrases(text: str) -> list[str]:
    """Return the phrases of a text as they are read: folded, and Japanese also with its marks as characters."""
    phrases = [phrase.strip() for phrase in re.split(r"[,\n]", text) if phrase.strip()]
    apart = [unicodedata.normalize("NFD", phrase) for phrase in phrases if _KANA.match(phrase)]
    return [phrase.translate(_FOLDS) for phrase in [*phrases, *apart]]


# Scripts whose words follow one another without a blank: a key ends in such a word.
_IS_JOINED = re.compile("[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_IS_FOREIGN: Final = re.compile("[\u0370-\u1fff\u3040-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufefc\uff66-\uffdc]")
_SEPARATORS = re.compile("[ _+-]")
_RULE_OF: Final[Mapping[str, str]] = MappingProxyType(
    {phrase.replace(" ", ""): STAND_INS[rule] for rule, words in WORDS.items() for phrase in _phrases(words)}
)
# A shorter word of letters that are not joined has to begin where no letter precedes it.
_SHORT = 3


def _compiled() -> Any:
    options = re2.Options()
    options.longest_match = True
    groups = (
        _phrases(_ABOUT),
        _phrases(_NO_SECRETS),
        [phrase for words in WORDS.values() for phrase in _phrases(words)],
    )
    # All words in one pass: a pattern of `re` tries each of them at each letter.
    return re2.compile("|".join(f"({'|'.join(group).replace(' ', '[ _+-]?')})" for group in groups), options)


_FIND: Final = _compiled()
_ABOUT_GROUP, _NO_SECRET_GROUP = 1, 2
_IS_ABOUT = re.compile("|".join(_phrases(_ABOUT)))
_PARTICLE = re.compile("[是为為はが는은]")
# `пароль_админа`: whose password it is.
_OF = re.compile(r"[_-]([^\W\d_]{1,24})(?=\\{0,7}[\"']?\s?[:=>\uff1a]|[\"'],)")


def with_stand_ins(text: str) -> str:
    """Return the text with stand-ins for keys of secrets in other scripts; its length stays the same."""
    if _IS_FOREIGN.search(text) is None:
        return text
    pieces: list[str] = []
    copied = 0
    for start, end, word in _found(text.translate(_FOLDS)):
        pieces += text[copied:start], word
        copied = end
    return "".join([*pieces, text[copied:]]) if pieces else text


def _found(folded: str) -> Iterator[tuple[int, int, str]]:
    """Yield the places of keys, of words that describe a secret and of those that are none, with their stand-ins."""
    behind = 0
    for match in _FIND.finditer(folded):
        start, end = match.span()
        if start < behind:
            continue  # It is the end of the key before it: whose secret that is.
        begins, group = not folded[start - 1 : start].isalpha(), match.lastindex
        if group in (_ABOUT_GROUP, _NO_SECRET_GROUP):
            if begins and not folded[end : end + 1].isalpha():
                yield start, end, _result(end - start) if group == _NO_SECRET_GROUP else f"{ABOUT:_>{end - start}}"
                if group == _ABOUT_GROUP and _IS_FOREIGN.match(folded, end + 1) and folded[end] == " ":
                    yield end, end + 1, "_"  # It describes the word behind it.
            continue
        joined = _IS_JOINED.match(folded, start) is not None
        if joined:
            end += _PARTICLE.match(folded, end) is not None
        elif not begins and len(match[0]) <= _SHORT:
            continue
        if folded[end : end + 1].isalpha():
            continue
        owner = _OF.match(folded, end)
        if owner is not None and _IS_ABOUT.fullmatch(owner[1]) is None:
            end = owner.end()
        if joined and not begins and start > behind:
            start -= 1
        behind = end
        size, word = end - start, _RULE_OF[_SEPARATORS.sub("", match[0])]
        yield start, end, ("z" * (size - len(word) - 1) + "_" + word)[-size:]


def _result(size: int) -> str:
    # A mask, which is no secret either.
    return "no" if size == 2 else "x" * size if size > 2 else "a"


def decoded_keys(text: str) -> str:
    """Return the text with decoded keys of secrets, if they are written by escapes of another script."""
    return _ESCAPES.sub(_decoded, text)


def _decoded(match: re.Match[str]) -> str:
    if _BEHIND_KEY.match(match.string, match.end()) is None:
        return match[0]
    try:
        key = _ESCAPE.sub(_character, match[0])
        if match["bytes"]:
            key = key.encode("latin-1").decode()
    except (ValueError, OverflowError):
        return match[0]
    tail = key[-_LONGEST:].translate(_FOLDS).rstrip("0123456789_")
    is_key = any(end == len(tail) and word[-2:] in _NAMES for _, end, word in _found(f"{tail}:"))
    return key if is_key else match[0]


def _character(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[3] or match[4]
    return chr(int(hexadecimal, 16) if hexadecimal else int(match[5]))


_NAMES = frozenset(STAND_INS.values())
_LONGEST = 64
_U, _B, _P = (
    r"\\{1,4}u[0-9a-fA-F]{4}",
    r"\\{1,4}x[c-fC-F][0-9a-fA-F](?:\\{1,4}x[89abAB][0-9a-fA-F]){1,3}",
    r"%[c-fC-F][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){1,3}",
)
_H = r"&#(?:[xX][0-9a-fA-F]{2,5}|[0-9]{2,6});"
_ESCAPES = re.compile(
    "|".join(
        (
            rf"(?:{_U})(?:[ _-]?{_U})*+",
            rf"(?P<bytes>(?:{_B})(?:[ _-]?{_B})*+|(?:{_P})(?:(?:[ _+-]|%20)?{_P})*+)",
            rf"(?:{_H})(?:[ _-]?{_H})*+",
        )
    )
)
_ESCAPE = re.compile(
    r"\\{1,4}u([0-9a-fA-F]{4})|\\{1,4}x([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})|&#(?:[xX]([0-9a-fA-F]{2,5})|([0-9]{2,6}));"
)
# A separator, or the name of the field that has the value: `{"name": "...", "value": "..."}`.
_AFTER = (
    r"[0-9_]{0,4}(?:(?:\\{0,7}[\"'])?\]?\s{0,4}(?:[:=>]|%3[adAD])"
    r"|\\{0,7}[\"'],\s{0,2}(?:\\{0,7}[\"'])?(?:[vV]al|[cC]ontent|[dD]ata))"
)
_BEHIND_KEY = re.compile(rf"{_AFTER}|\Z")
ESCAPES_SIGN: Final = (
    r"(?:\\u(?:0[3-9a-fA-F]|1[0-9a-fA-F]|[3-9a-dA-D][0-9a-fA-F]|[fF][fF])[0-9a-fA-F]{2}"
    rf"|(?:\\x|%)[89abAB][0-9a-fA-F]|{_H}){_AFTER}"
)
"""An RE2 pattern for every ASCII text that `decoded_keys` may change."""

__all__ = ["ABOUT", "ESCAPES_SIGN", "STAND_INS", "WORDS", "decoded_keys", "with_stand_ins"]
