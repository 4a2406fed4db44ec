"""Which characters the bytes of a page are. Pure; never raises.

The order is a byte order mark, the Content-Type, what the page says of itself, and what its bytes
look like; only labels that the web knows are taken, so that no page chooses a codec of Python's
that is none of text. Source: WHATWG Encoding, sections 4.2 and 6; WHATWG HTML, 13.2.3.2.
"""

import re
from dataclasses import dataclass

import charset_normalizer

from web_browsing.fetching.kinds import wide_codec

SAMPLE_BYTES = 64 * 1024
PRESCAN_BYTES = 1024
LEGACY = "cp1252"
"""What the web takes for what nobody labelled."""
MOSTLY_WRONG = 200
"""A declared charset is not believed where one character in so many is not of it."""

_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5",
    "iso8859-6": "arabic asmo-708 csisolatinarabic ecma-114 iso-8859-6 iso-ir-127 iso8859-6 "
    "iso88596 iso_8859-6",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 "
    "iso88597 iso_8859-7 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 "
    "iso88598 iso_8859-8 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 "
    "iso8859-1 iso88591 iso_8859-1 l1 latin1 us-ascii windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 l5 latin5 "
    "windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb18030 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 "
    "x-gbk",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022-jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 "
    "ksc5601 ksc_5601 windows-949",
    "utf-16-be": "unicodefffe utf-16be",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
}
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))
_PARAMETER = re.compile(
    r"""charset\s*=\s*(?:"([^"]{1,60})"|'([^']{1,60})'|([^\s;"']{1,60}))""", re.I
)
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,60})", re.I)
_XML = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.\-]{1,60})", re.I)


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    codec: str
    """Python's name of it."""
    note: str | None = None


def decoded(body: bytes, content_type: str = "") -> Decoded:
    """The characters of a body. What is none of its charset is U+FFFD."""
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return Decoded(body[len(mark) :].decode(codec, errors="replace"), codec)
    declared = _from_header(content_type) or _from_page(body)
    if declared is None:
        codec = _looks_like(body)
        return Decoded(body.decode(codec, errors="replace"), codec)
    text = body.decode(declared, errors="replace")
    other = _believed_rather(body, declared, text)
    if other is None:
        return Decoded(text, declared)
    return Decoded(
        body.decode(other, errors="replace"),
        other,
        f"The page says that it is {declared}; it was read as {other}, which its bytes are.",
    )


def codec_of(label: str) -> str | None:
    """Python's codec for a label of the web; None for a label that the web does not know."""
    return _CODECS.get(label.strip().lower())


def _from_header(content_type: str) -> str | None:
    found = _PARAMETER.search(content_type[:500])
    return codec_of(next(each for each in found.groups() if each)) if found else None


def _from_page(body: bytes) -> str | None:
    head = body[:PRESCAN_BYTES]
    found = _XML.match(head.lstrip()) or _META.search(head)
    codec = codec_of(found[1].decode("ascii")) if found else None
    # It was read as ASCII just now, so it cannot be.
    return "utf-8" if codec is not None and codec.startswith("utf-16") else codec


def _looks_like(body: bytes) -> str:
    sample = body[:SAMPLE_BYTES]
    wide = wide_codec(sample)
    if wide is not None:
        return wide
    if _is_utf8(sample):
        return "utf-8"
    try:
        best = charset_normalizer.from_bytes(sample).best()
    except Exception:  # noqa: BLE001 - a guess that fails is no guess
        best = None
    return (codec_of(best.encoding.replace("_", "-")) if best is not None else None) or LEGACY


def _believed_rather(body: bytes, declared: str, text: str) -> str | None:
    """Another charset, where the declared one cannot be meant."""
    if declared == "utf-8":
        if text.count("\ufffd") * MOSTLY_WRONG <= len(text):
            return None
        other = _looks_like(body)
        return None if other == declared else other
    sample = body[:SAMPLE_BYTES]
    # Characters of several bytes that are valid UTF-8 throughout are so by no accident.
    if declared == LEGACY and not sample.isascii() and _is_utf8(sample):
        return "utf-8"
    return None


def _is_utf8(sample: bytes) -> bool:
    """Whether it is UTF-8; a character cut at the end of a sample does not count."""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(sample) == SAMPLE_BYTES and error.start >= len(sample) - 3
    return True
