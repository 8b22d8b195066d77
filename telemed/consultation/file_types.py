"""What a shared file is by its content, and what it may be called. Pure.

Signatures: WHATWG MIME Sniffing 6.1-7.1; HEIC by ISO/IEC 14496-12 ``ftyp`` and ISO/IEC 23008-12 brands; DICOM PS3.10
7.1. A type that is not in ``EXTENSIONS`` is not taken: nothing that a browser or a computer would run.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

NAME_LENGTH: Final = 120  # characters of a file's name
HEAD_BYTES: Final = 512  # what a signature may need: DICOM's is at 128, and text is looked at beyond its blanks
OTHER: Final = "application/octet-stream"
TEXT: Final = "text/plain"

# The types that are taken, with the endings that belong to each; the first is given where none of them is there.
EXTENSIONS: Final = MappingProxyType({
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/heic": (".heic", ".heif"),
    "application/pdf": (".pdf",),
    TEXT: (".txt", ".csv", ".md", ".log"),
    "application/dicom": (".dcm",),
})
SHOWN_INLINE: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
SAYS_NOTHING: Final = frozenset({"", OTHER})  # declared where a browser does not know the ending
ALIASES: Final = MappingProxyType({"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/heif": "image/heic"})

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"%PDF-", "application/pdf"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"MZ", "application/x-msdownload"),
    (b"\x7fELF", "application/x-executable"),
    (b"%!PS", "application/postscript"),
    (b"#!", "text/x-shellscript"),
)
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_MARKUP: Final = re.compile(
    rb"(?P<xml><\?xml)|(?P<svg><svg[\s>/])|<!doctype|<!--|<(?:html|head|script|iframe|h1|div|font|table|a|style|title|b"
    rb"|body|br|p|img|form|meta|link|object|embed)[\s>/]",
    re.IGNORECASE,
)
_BLANKS: Final = b"\t\n\x0c\r "
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")  # what no plain text has


class Inspection:
    """Reads a file as it comes and says at its end what it is. Keeps ``HEAD_BYTES`` of it at most."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True

    def feed(self, part: bytes) -> None:
        """The file's next bytes."""
        self._head += part[: HEAD_BYTES - len(self._head)]
        self._decode(part, last=False)

    def found(self) -> str:
        """The media type of everything that was fed."""
        self._decode(b"", last=True)
        head = bytes(self._head)
        for signature, media_type in _SIGNATURES:
            if head.startswith(signature):
                return media_type
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return "image/webp"
        if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
            return "image/heic"
        if head[128:132] == b"DICM":
            return "application/dicom"
        if not self._is_text or not head:
            return OTHER
        markup = _MARKUP.match(head.removeprefix(codecs.BOM_UTF8).lstrip(_BLANKS))
        if markup is None:
            return TEXT
        return {"xml": "text/xml", "svg": "image/svg+xml"}.get(markup.lastgroup or "", "text/html")

    def _decode(self, part: bytes, *, last: bool) -> None:
        if not self._is_text:
            return
        try:
            text = self._text.decode(part, last)
        except UnicodeDecodeError:
            self._is_text = False
            return
        self._is_text = _CONTROLS.search(text) is None


def declared(content_type: str) -> str:
    """The type that a request declares, in the form of ``EXTENSIONS``."""
    plain = content_type.partition(";")[0].strip().lower()
    return ALIASES.get(plain, plain)


def label(name: str, media_type: str) -> str:
    """A name to show and to save under: one line without a folder, at most ``NAME_LENGTH``, ending as its type ends.

    Nothing invisible stays in it, least of all what turns the direction of writing and so hides an ending.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    spaced = "".join(" " if one.isspace() else one for one in last)
    seen = "".join(one for one in spaced if unicodedata.category(one)[0] != "C")
    kept = " ".join("".join("_" if one in '<>:"|?*' else one for one in seen).split()).strip(". ")
    endings = EXTENSIONS.get(media_type, ("",))
    ending = next((one for one in endings if kept.lower().endswith(one)), "")
    stem = kept[: len(kept) - len(ending)].rstrip(". ") or "file"
    ending = kept[len(kept) - len(ending):] if ending else endings[0]
    return stem[: NAME_LENGTH - len(ending)] + ending


def disposition(name: str, *, inline: bool) -> str:
    """The Content-Disposition of a label (RFC 6266 4.1, 4.3; RFC 8187): an ASCII name beside the true one."""
    plain = "".join(one if one.isascii() and one.isprintable() and one not in '"\\%' else "_" for one in name)
    return f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
