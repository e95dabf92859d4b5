"""Headers of an email that carry text: every mail reader decodes exactly the text that was given.

Python's own folding loses or adds spaces between words that it encodes, and other ones in each version of Python. Here
a header is written in one of two ways: as it is, or as encoded words alone.
"""

from base64 import b64encode
from collections.abc import Iterator
from email.headerregistry import Address

LINE = 76
"""Characters of a line with an encoded word (RFC 2047, section 2), and of every other line whose words allow it."""

WORD_BYTES = 39
"""Bytes of text in one encoded word: 52 of base64 and its frame fit a line beside the longest name, ``Subject: ``."""

ENCODED_WORD = "=?"
"""The start of an encoded word. A text that contains it is encoded as a whole, or a mail reader would decode it. Python
before 3.11.10 decodes it into further header lines (CVE-2024-6923).
"""

_FROM_WORD = 60
"""Characters of a display name that is quoted: a longer name does not fit a line."""


def unstructured(name: str, text: str) -> str:
    """The value of ``name``, folded. ``text``: printable, its words one space apart (as ``subject_line`` has it)."""
    first = LINE - len(name) - len(": ")
    words = text.split(" ")
    if text.isascii() and ENCODED_WORD not in text and max(map(len, words)) < first:
        return "\r\n ".join(_folded(words, first))
    return "\r\n ".join(_encoded_words(text))


def mailbox(name: str, address: Address) -> str:
    """The value of ``name``: a display name where there is one, and the address."""
    display = address.display_name
    if not display:
        return address.addr_spec
    if display.isascii() and len(display) <= _FROM_WORD and ENCODED_WORD not in display:
        escaped = display.replace("\\", "\\\\").replace('"', '\\"')
        phrase = f'"{escaped}"'
    else:
        phrase = "\r\n ".join(_encoded_words(display))
    last = phrase.rpartition("\r\n")[2]
    between = " " if len(f"{name}: {last} <{address.addr_spec}>") <= LINE else "\r\n "
    return f"{phrase}{between}<{address.addr_spec}>"


def _folded(words: list[str], first: int) -> list[str]:
    """Words on lines: the first line has ``first`` characters, the others a line less the space at their start."""
    lines = [words[0]]
    for word in words[1:]:
        room = first if len(lines) == 1 else LINE - 1
        if len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _encoded_words(text: str) -> Iterator[str]:
    """Each word decodes by itself: none ends within a character. A mail reader drops the space between two words."""
    chunk = b""
    for encoded in (*map(str.encode, text), b""):
        if not encoded or len(chunk) + len(encoded) > WORD_BYTES:
            yield f"=?utf-8?b?{b64encode(chunk).decode()}?="
            chunk = b""
        chunk += encoded
