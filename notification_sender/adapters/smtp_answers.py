"""What a mail server's answer means, and which of its words may go where."""

import re
from dataclasses import dataclass

import aiosmtplib

from notification_sender.model.errors import NotificationSenderError, Rejected, SendFailed, Sent, SlowDown
from notification_sender.model.outcome import Receipt

AUTHENTICATION = frozenset({530, 534, 535, 538})
"""RFC 4954: the server wants other credentials or none without TLS. Our trouble, so no message dies of it."""

CLOSING = 421

PAUSE = 15.0
"""Seconds, where a server says that it is too much and not until when."""

LONGEST_PAUSE = 300.0

MAX_ANSWER = 1024
"""Bytes of a server's words that are kept, of four times as many that are read."""

HIDDEN = "<address>"

_STATUS = r"[245]\.\d{1,3}\.\d{1,3}\b"  # RFC 3463
_HEADS = re.compile(rf"^\s*{_STATUS}", re.MULTILINE)
# These meet what a stranger wrote, in the loop. Looked for at the start of each word alone, and with no two parts that
# may both take the same letters: a KiB of one letter would cost a second otherwise.
_ADDRESS = re.compile(r"""(?<![^\s<>"'(),;:\[\]])[^\s<>"'(),;:\[\]]+(?:@|%40|=40|\+40)[^\s<>"'(),;:\[\]]+""")
_QUEUE_ID = re.compile(
    r"\b(?:as +|(?:internal)?id= *|ok:? +)([\w.-]*\d[\w.-]*)|^(?=\w*\d)(\w+) message accepted", re.IGNORECASE
)

# There is no code for "too fast": providers say it in words. What speaks of one mailbox or one message is not it,
# whatever else it says: a full mailbox "exceeded its limit", and must hold up nobody else.
_TOO_FAST = re.compile(
    r"\brates?\b|throttl|too (?:many|much|fast|quickly|frequent)|slow down|server (?:is )?busy|unexpected volume"
    r"|exceed(?:s|ed) .{0,40}\blimit|\blimits? (?:was |has been )?exceeded|(?:sending|message|daily|hourly) quota"
    r"|temporarily deferred due to",
    re.IGNORECASE,
)
_OF_ONE = re.compile(
    r"\bgr[ae]y-?list|\bsize\b|storage|disk|mailbox|too many (?:errors|hops|recipients\b(?! from))", re.IGNORECASE
)
_OF_ONE_MAILBOX = "4.2."
_UNTIL = re.compile(
    r"\b(?:again|back|retry|wait|for)\b[^.\d]{0,20}"
    r"(?:(?P<clock>\d\d:\d\d:\d\d)|(?P<number>\d{1,6}) ?(?P<unit>[smh])(?:|ecs?|econds?|ins?|inutes?|rs?|ours?)\b)",
    re.IGNORECASE,
)
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SPEAKS_OF_ONE = frozenset({"recipient", "message"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said when it was asked for ``step``, on the way to ``recipient``."""

    code: int
    message: str
    step: str
    recipient: str = ""

    @property
    def in_doubt(self) -> bool:
        """Neither yes nor no: the conversation is out of step."""
        return not 400 <= self.code < 600  # noqa: PLR2004 - RFC 5321, section 4.2.1

    @property
    def ends(self) -> bool:
        """Nothing more can be said on this connection."""
        return self.code == CLOSING or self.in_doubt

    def receipt(self) -> Receipt:
        """Of an answer that accepts: the codes, and the number under which the server's own log has it."""
        found = _QUEUE_ID.search(_hidden(self._words, self.recipient))
        number = f" queued as {found[1] or found[2]}" if found else ""
        return Receipt(f"{self._codes}{number}", self._kept, self.code)

    def refusal(self, sent: Sent) -> NotificationSenderError:
        """Of any other answer: what the heart is told. ``sent``: what is known before this answer is understood."""
        text = f"{self._codes} {self.step} refused"
        if self.in_doubt:
            return SendFailed(f"no answer of SMTP to the {self.step}", sent=sent, ill=True, answer=self._kept)
        if self.code in AUTHENTICATION:
            return SendFailed(text, sent=Sent.NOTHING, ill=True, answer=self._kept, status=self.code)
        if self.code >= 500:  # noqa: PLR2004 - RFC 5321, section 4.2.1
            return Rejected(text, answer=self._kept, status=self.code)
        wish = _wish(self._words)
        if self._too_fast:
            return SlowDown(f"{text}, too fast", seconds=min(wish or PAUSE, LONGEST_PAUSE))
        return SendFailed(
            text, sent=Sent.ANSWERED, retry_after=wish, ill=self.ends, answer=self._kept, status=self.code
        )

    def no_connection(self) -> NotificationSenderError:
        """Of a refusal before any message was spoken of: it is meant for none, so none dies of it."""
        refusal = self.refusal(Sent.NOTHING)
        if isinstance(refusal, SlowDown):
            return refusal
        return SendFailed(str(refusal), sent=Sent.NOTHING, ill=True, answer=self._kept, status=self.code)

    @property
    def _codes(self) -> str:
        status = re.match(_STATUS, self.message)
        return f"{self.code} {status[0]}" if status else str(self.code)

    @property
    def _words(self) -> str:
        """On one line, without the codes that every line begins with: a phrase may go on in the next."""
        return _line(_ADDRESS.sub(HIDDEN, _HEADS.sub("", self.message[: 4 * MAX_ANSWER])))

    @property
    def _kept(self) -> str:
        words = _line(f"{self.code} {_hidden(self.message[: 4 * MAX_ANSWER], self.recipient)}")
        return words.encode()[:MAX_ANSWER].decode(errors="ignore")

    @property
    def _too_fast(self) -> bool:
        words = self._words
        if self.message.startswith(_OF_ONE_MAILBOX) or _OF_ONE.search(words):
            return False
        if _TOO_FAST.search(words):
            return True
        # "Come back in five minutes" to a recipient or a message is greylisting, whether it says so or not.
        return _wish(words) is not None and (self.code == CLOSING or self.step not in _SPEAKS_OF_ONE)


_STEPS: dict[type[aiosmtplib.SMTPResponseException], str] = {
    aiosmtplib.SMTPAuthenticationError: "login",
    aiosmtplib.SMTPSenderRefused: "sender",
    aiosmtplib.SMTPRecipientRefused: "recipient",
    aiosmtplib.SMTPDataError: "message",
}


def answer_of(error: aiosmtplib.SMTPResponseException, recipient: str = "") -> Answer:
    """The answer that was not hoped for."""
    return Answer(error.code, error.message, _STEPS.get(type(error), "connection"), recipient)


def _wish(words: str) -> float | None:
    """Seconds after which the server wants us back, where it says so."""
    found = _UNTIL.search(words)
    if found is None:
        return None
    if found["clock"]:
        hours, minutes, seconds = map(int, found["clock"].split(":"))
        return float(hours * 3600 + minutes * 60 + seconds)
    return float(int(found["number"]) * _UNITS[found["unit"].lower()])


def _hidden(words: str, recipient: str) -> str:
    """Without mail addresses, and without what stands before the @ of this one: some servers say only that."""
    local = recipient.partition("@")[0]
    words = _ADDRESS.sub(HIDDEN, words)
    return re.sub(rf"(?<!\w){re.escape(local)}(?!\w)", HIDDEN, words, flags=re.IGNORECASE) if local else words


def _line(words: str) -> str:
    """A server may say anything: one line of text that can be written down."""
    return " ".join(words.encode("utf-8", "replace").decode().split())
