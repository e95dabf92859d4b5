"""Classifies a mail server's replies, and removes mail addresses from their text.

A refusal may concern the sender (us, whoever the recipient is), or this recipient or message alone. The enhanced status
code decides first (RFC 3463, RFC 5248, RFC 7372, and Microsoft's 5.7.5xx to 5.7.7xx). The refused step decides next,
then the words, because servers use 5.7.1 for a spam filter, for a mailbox that takes no strangers, and for a blocked
address of ours.
"""

import re
from dataclasses import dataclass

import aiosmtplib

from notification_sender.model.errors import (
    NotificationSenderError,
    Rejected,
    SenderRefused,
    SendFailed,
    Sent,
    SlowDown,
)
from notification_sender.model.outcome import Receipt

CLOSING_CODE = 421

MAX_RECEIPT = 60
"""Characters of a receipt. Redis needs half the memory for a record whose fields have at most 64 bytes."""

DEFAULT_PAUSE = 15.0
"""Seconds to wait when a server asks us to slow down and does not say for how long."""

MAX_PAUSE = 300.0

REPAIR_SECONDS = 60.0
"""Seconds until a server that refuses the sender is tried again: an operator has to change a setting or a blocklist."""

MAX_ANSWER_BYTES = 1024
"""Bytes of a reply that are kept; four times as many are read."""

HIDDEN = "<address>"

_STATUS = r"[245]\.\d{1,3}\.\d{1,3}\b"  # RFC 3463
# The blanks exclude the line feed: 4,000 empty lines would each be scanned once from every line before (quadratic).
_HEADS = re.compile(rf"^[^\S\n]*{_STATUS}", re.MULTILINE)
# These patterns run on the event loop, on text that a stranger wrote. They start at a word's start only, and no two
# adjacent parts match the same characters: else a KiB of one letter would take a second.
_ADDRESS = re.compile(r"""(?<![^\s<>"'(),;:\[\]])[^\s<>"'(),;:\[\]]+(?:@|%40|=40|\+40)[^\s<>"'(),;:\[\]]+""")
_QUEUE_ID = re.compile(
    r"\b(?:as +|(?:internal)?id= *|ok:? +)([\w.-]*\d[\w.-]*)|^(?=\w*\d)(\w+) message accepted", re.IGNORECASE
)

# No status code says "too fast": providers use words. Words about one mailbox or one message are no rate limit: a full
# mailbox "exceeded its limit", and must not hold up other recipients.
_TOO_FAST = re.compile(
    r"\brates?\b|throttl|too (?:many|much|fast|quickly|frequent)|slow down|server (?:is )?busy|unexpected volume"
    r"|exceed(?:s|ed) .{0,40}\blimit|\blimits? (?:was |has been )?exceeded|(?:sending|message|daily|hourly) quota"
    r"|temporarily deferred due to",
    re.IGNORECASE,
)
_OF_ONE = re.compile(
    r"\bgr[ae]y-?list|\bsize\b|storage|disk|mailbox|too many (?:errors|hops|recipients\b(?! from))", re.IGNORECASE
)
_OF_ONE_MAILBOX = re.compile(r"[45]\.2\.")
_OF_SESSION = re.compile(
    r"\btoo many (?:messages|mails|e-?mails|transactions|deliveries|recipients|commands)\b"
    r"|\b(?:per|this|in a|one) (?:\w+ )?(?:session|connection)\b|\bsession limit",
    re.IGNORECASE,
)
_STATUS_OF_SESSION = "4.5.3"
"""Too many recipients. Our messages have one each, so the server counts those of earlier messages of the session."""
_UNTIL = re.compile(
    r"\b(?:again|back|retry|wait|for)\b[^.\d]{0,20}"
    r"(?:(?P<clock>\d\d:\d\d:\d\d)|(?P<number>\d{1,6}) ?(?P<unit>[smh])(?:|ecs?|econds?|ins?|inutes?|rs?|ours?)\b)",
    re.IGNORECASE,
)
_UNITS = {"s": 1, "m": 60, "h": 3600}

# x.1.7, x.1.8: the sender's address · 5.4.5: a quota (Google) · x.5.1: command out of sequence
# x.7.3, x.7.8 to x.7.14: login, except x.7.12, which Exchange uses for a recipient who takes no strangers
# x.7.20 to x.7.30, x.7.40: SPF, DKIM, DMARC, reverse DNS, flood · x.7.50 to x.7.69: relaying, sending as (Exchange)
# x.7.5xx to x.7.7xx: banned, unauthenticated (Microsoft)
_STATUS_OF_US = re.compile(r"[245]\.(?:1\.[78]|5\.1|7\.(?:[389]|1[0134]|2\d|30|40|[56]\d|[567]\d\d))\b|5\.4\.5\b")
_STATUS_OF_RECIPIENT = re.compile(r"[245]\.(?:7\.50[45]|2\.\d{1,3}|1\.(?:[1-6]|10))\b")
"""Includes recipients that Microsoft bans (5.7.504, 5.7.505)."""

_STATUS_OF_SIZE = re.compile(r"[245]\.(?:3\.4|2\.3)\b")
_CODE_OF_SIZE = 552
_CODES_OF_US = frozenset({503, 504, 521, 530, 534, 535, 538})
"""RFC 5321: out of sequence, a parameter (of EHLO: Postfix reports it late), no mail at all; RFC 4954: the login."""

# No two adjacent parts match the same characters: see above.
_WORDS_OF_US = re.compile(
    r"\b(?:helo|ehlo)\b"
    r"|\bsender (?:address |domain )?(?:rejected|denied|not|unknown|verif)|client host"
    r"|\byour (?:ip|host)\b"
    r"|\b(?:blocked|listed|found) (?:using|at|in|by|on)\b|\b(?:block|black|deny) ?list|\b(?:rbl|dnsbl)\b|spamhaus"
    r"|banned (?:sending|sender)|\breputation\b|\brelay(?:ing)? (?:access )?(?:is )?(?:denied|not|prohibited)"
    r"|\bunable to relay|\bspf\b|\bdkim\b|\bdmarc\b|\bunauthenticated\b|\bauthenticat|not authori[sz]ed to send"
    r"|\breverse (?:dns|hostname|lookup)|\bptr\b|\bpolicy\b|\bpolicies\b|issue a starttls"
    r"|\brate limit|\b(?:sending|daily|hourly|message) (?:quota|limit)|\blimit (?:was |has been )?exceeded",
    re.IGNORECASE,
)
_WORDS_OF_ONE = re.compile(
    r"\brecipient\b|\bmailbox\b|\bsize\b|\bstorage\b|\buser (?:is )?(?:unknown|not)|\bno such\b"
    r"|\bspam(?!haus)|\bvirus|\bmalware|\bcontent\b"
    r"|\battachment",
    re.IGNORECASE,
)

SENDER, LOGIN, CONNECTION, GREETING = "sender", "login", "connection", "greeting"
BEFORE_RECIPIENT = frozenset({SENDER, LOGIN, CONNECTION, GREETING})
"""Steps before the first recipient is named."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's reply to ``step``, for a message to ``recipient``."""

    code: int
    message: str
    step: str
    recipient: str = ""

    @property
    def in_doubt(self) -> bool:
        """Neither success nor refusal: the dialogue is out of step."""
        return not 400 <= self.code < 600  # noqa: PLR2004 - RFC 5321, section 4.2.1

    @property
    def of_session(self) -> bool:
        """Whether the server refuses more on this connection only: a new connection may continue at once."""
        return self.code == CLOSING_CODE or self._status == _STATUS_OF_SESSION or bool(_OF_SESSION.search(self._words))

    @property
    def ends(self) -> bool:
        """Whether the connection cannot be used further."""
        return self.code == CLOSING_CODE or self.in_doubt

    def receipt(self) -> Receipt:
        """The receipt of an accepting reply: the codes, and the id of the message in the server's own log."""
        found = _QUEUE_ID.search(_hidden(self._words, self.recipient))
        number = f" queued as {found[1] or found[2]}" if found else ""
        return Receipt(f"{self._codes}{number}"[:MAX_RECEIPT], self.code)

    def refusal(self, sent: Sent) -> NotificationSenderError:
        """The error for any other reply. ``sent``: what was known before this reply."""
        text = f"{self._codes} {self.step} refused"
        if self.in_doubt:
            return SendFailed(f"the reply to the {self.step} is not SMTP", sent=sent, ill=True, answer=self._kept)
        wish = _wish(self._words)
        if self._too_fast and self.code < 500:  # noqa: PLR2004 - RFC 5321, section 4.2.1
            return SlowDown(f"{text}, too fast", seconds=min(wish or DEFAULT_PAUSE, MAX_PAUSE))
        if refuses_us(step=self.step, code=self.code, status=self._status, words=self._words):
            return SenderRefused(
                text, seconds=min(wish or REPAIR_SECONDS, MAX_PAUSE), of_all=self.step in BEFORE_RECIPIENT
            )
        if self.code >= 500:  # noqa: PLR2004 - as above
            return Rejected(text, answer=self._kept, status=self.code)
        return SendFailed(
            text, sent=Sent.ANSWERED, retry_after=wish, ill=self.ends, answer=self._kept, status=self.code
        )

    def no_connection(self) -> NotificationSenderError:
        """The error for a refusal while connecting. It concerns no message, so no message dies of it."""
        refusal = self.refusal(Sent.NOTHING)
        if isinstance(refusal, SlowDown):
            return refusal
        return SendFailed(str(refusal), sent=Sent.NOTHING, ill=True, answer=self._kept, status=self.code)

    @property
    def _status(self) -> str:
        """The enhanced status code, or an empty text."""
        status = re.match(_STATUS, self.message)
        return status[0] if status else ""

    @property
    def _codes(self) -> str:
        return f"{self.code} {self._status}".rstrip()

    @property
    def _words(self) -> str:
        """The text on one line, without the codes at the start of each line: a phrase may span two lines."""
        return _line(_ADDRESS.sub(HIDDEN, _HEADS.sub("", self.message[: 4 * MAX_ANSWER_BYTES])))

    @property
    def _kept(self) -> str:
        words = _line(f"{self.code} {_hidden(self.message[: 4 * MAX_ANSWER_BYTES], self.recipient)}")
        return words.encode()[:MAX_ANSWER_BYTES].decode(errors="ignore")

    @property
    def _too_fast(self) -> bool:
        words = self._words
        if _OF_ONE_MAILBOX.match(self._status) or _OF_ONE.search(words):
            return False
        if _TOO_FAST.search(words):
            return True
        # "Come back in five minutes" in reply to a recipient or a message is greylisting, with or without the word.
        return _wish(words) is not None and (self.code == CLOSING_CODE or self.step in BEFORE_RECIPIENT)


_STEPS: dict[type[aiosmtplib.SMTPResponseException], str] = {
    aiosmtplib.SMTPHeloError: GREETING,
    aiosmtplib.SMTPAuthenticationError: LOGIN,
    aiosmtplib.SMTPSenderRefused: SENDER,
    aiosmtplib.SMTPRecipientRefused: "recipient",
    aiosmtplib.SMTPDataError: "message",
}


def answer_of(error: aiosmtplib.SMTPResponseException, recipient: str = "") -> Answer:
    """The reply behind an error of aiosmtplib."""
    return Answer(error.code, error.message, _STEPS.get(type(error), CONNECTION), recipient)


def refuses_us(*, step: str, code: int, status: str, words: str) -> bool:
    """Whether a refusal (4xx or 5xx) concerns the sender. ``status``: the enhanced code or ""; ``words``: no codes."""
    if _STATUS_OF_SIZE.match(status) or (code == _CODE_OF_SIZE and not status):
        return False
    if _STATUS_OF_RECIPIENT.match(status):
        return False
    if _STATUS_OF_US.match(status) or code in _CODES_OF_US or step == LOGIN:
        return True
    if step in BEFORE_RECIPIENT and code >= 500:  # noqa: PLR2004 - RFC 5321, section 4.2.1
        return True
    return bool(_WORDS_OF_US.search(words)) and not _WORDS_OF_ONE.search(words)


def _wish(words: str) -> float | None:
    """Seconds until the server wants us to try again, where it says so."""
    found = _UNTIL.search(words)
    if found is None:
        return None
    if found["clock"]:
        hours, minutes, seconds = map(int, found["clock"].split(":"))
        return float(hours * 3600 + minutes * 60 + seconds)
    return float(int(found["number"]) * _UNITS[found["unit"].lower()])


def _hidden(words: str, recipient: str) -> str:
    """Remove mail addresses, and the recipient's local part: some servers repeat only that."""
    local = recipient.partition("@")[0]
    words = _ADDRESS.sub(HIDDEN, words)
    return re.sub(rf"(?<!\w){re.escape(local)}(?!\w)", HIDDEN, words, flags=re.IGNORECASE) if local else words


def _line(words: str) -> str:
    """Make one line of valid text: a server may reply with any bytes."""
    return " ".join(words.encode("utf-8", "replace").decode().split())
