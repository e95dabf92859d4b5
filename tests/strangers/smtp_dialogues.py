"""What mail servers say at any step. What is odd of a session befalls whoever has it, of a recipient that one alone.

A reply is bytes, or a word: ``drop``, ``hang``, ``drip``.
"""

from dataclasses import dataclass
from typing import Literal

from tests.strangers.draft import Draft, Family

dialogues = Family("smtp")

Reply = bytes | Literal["drop", "hang", "drip"]
CODES = (
    211,
    220,
    221,
    250,
    251,
    252,
    354,
    421,
    450,
    451,
    452,
    454,
    455,
    500,
    501,
    502,
    503,
    504,
    521,
    530,
    535,
    550,
    552,
    554,
)
ENHANCED = (
    *(
        "2.0.0",
        "4.2.0",
        "4.2.1",
        "4.3.2",
        "4.4.2",
        "4.5.3",
        "4.7.0",
        "4.7.28",
        "5.1.1",
        "5.1.10",
        "5.2.2",
        "5.3.4",
        "5.4.1",
    ),
    *("5.5.1", "5.7.0", "5.7.1", "5.7.26", "5.7.515", "5.7.606", "9.9.9", "5.7", "05.7.1", "5.7.1.1", "2.1.5"),
)
WORDS = (
    b"",
    b"said so",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"x" * 400,
    b"\x00",
    b"\t",
    b"blocked: SPF, see https://example.com/",
    b"try again later",
)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """None: as servers do that are well. The first five are of a session, the others of a recipient."""

    banner: Reply | None = None
    ehlo: Reply | None = None
    helo: Reply | None = None
    limit: int | None = None
    """Messages of one session; to what comes then is said ``over``."""
    over: Reply = b"421 4.7.0 too many messages in this session\r\n"
    mail: Reply | None = None
    rcpt: Reply | None = None
    data: Reply | None = None
    end: Reply | None = None
    """Once the message was read."""
    then: Reply | None = None
    """Unasked, right after ``end``."""

    @property
    def of_a_session(self) -> bool:
        return any(it is not None for it in (self.banner, self.ehlo, self.helo, self.limit))


def _says(odd: Draft, **replies: Reply | int | None) -> None:
    odd.by_email()
    odd.dialogue = Dialogue(**replies)  # type: ignore[arg-type]


def _reply(odd: Draft, *codes: int) -> bytes:
    code = odd.dice.choice(codes or CODES)
    enhanced = odd.dice.choice(("", f"{odd.dice.choice(ENHANCED)} "))
    return f"{code} {enhanced}".encode() + odd.dice.choice(WORDS) + b"\r\n"


def _step(odd: Draft) -> str:
    return odd.dice.choice(("mail", "rcpt", "data", "end"))


# --- of a recipient -----------------------------------------------------------------------------------------------


@dialogues.kind
def any_code_at_any_step(odd: Draft) -> None:
    _says(odd, **{_step(odd): _reply(odd)})


@dialogues.kind
def any_enhanced_code(odd: Draft) -> None:
    code = odd.dice.choice((450, 451, 550, 554, 421))
    _says(odd, **{_step(odd): f"{code} {odd.dice.choice(ENHANCED)} said so\r\n".encode()})


@dialogues.kind
def many_lines(odd: Draft) -> None:
    code = odd.dice.choice((250, 450, 550))
    lines = (b"%d-\r\n%d-two\r\n%d three\r\n", b"%d-one\r\n%d-two\r\n%d\r\n", b"%d-a\n%d-b\n%d c\n")
    _says(odd, **{odd.dice.choice(("mail", "rcpt", "end")): odd.dice.choice(lines) % (code, code, code)})


@dialogues.kind
def lines_of_two_codes(odd: Draft) -> None:
    _says(
        odd,
        **{
            _step(odd): odd.dice.choice(
                (b"250-one\r\n550 two\r\n", b"550-one\r\n250 two\r\n", b"250-one\r\ntwo\r\n250 ok\r\n")
            )
        },
    )


@dialogues.kind
def lines_by_the_thousand(odd: Draft) -> None:
    _says(odd, **{odd.dice.choice(("mail", "rcpt", "end")): b"250-and\r\n" * 3000 + b"250 so on\r\n"})


@dialogues.kind
def a_line_of_100_kb(odd: Draft) -> None:
    _says(odd, **{_step(odd): b"%d %s\r\n" % (odd.dice.choice((250, 450, 550)), b"x" * 100_000)})


@dialogues.kind
def no_reply_at_all(odd: Draft) -> None:
    texts = (
        b"\r\n",
        b"garbage\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"250ok\r\n",
        b"-1 no\r\n",
        b"\xff\xfe\r\n",
        b"999 what\r\n",
        b"000 \r\n",
        b"\x00" * 100 + b"\r\n",
    )
    _says(odd, **{_step(odd): odd.dice.choice(texts)})


@dialogues.kind
def the_end_of_a_session_at_any_step(odd: Draft) -> None:
    _says(odd, **{_step(odd): odd.dice.choice((b"421 4.3.2 closing\r\n", b"421\r\n", b"421-4.7.0 go\r\n421 away\r\n"))})


@dialogues.kind
def a_drop_at_any_step(odd: Draft) -> None:
    _says(odd, **{_step(odd): "drop"})


@dialogues.kind
def silence_at_any_step(odd: Draft) -> None:
    _says(odd, **{_step(odd): "hang"})


@dialogues.kind
def a_drip_at_the_end(odd: Draft) -> None:
    _says(odd, end="drip")


@dialogues.kind
def a_yes_before_the_question(odd: Draft) -> None:
    _says(odd, rcpt=b"250 2.1.5 ok\r\n354 go on\r\n250 2.0.0 kept\r\n")


@dialogues.kind
def two_ends(odd: Draft) -> None:
    _says(
        odd,
        end=b"250 2.0.0 kept\r\n",
        then=odd.dice.choice((b"421 4.3.2 closing\r\n", b"550 5.7.1 no\r\n", b"250 2.0.0 again\r\n")),
    )


# --- of a session -------------------------------------------------------------------------------------------------


@dialogues.kind
def a_banner(odd: Draft) -> None:
    texts: tuple[Reply, ...] = (
        b"220\r\n",
        b"220-one\r\n220-two\r\n220 three\r\n",
        b"421 4.3.2 not now\r\n",
        b"554 5.7.1 not you\r\n",
        b"garbage\r\n",
    )
    texts += (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 " + b"x" * 20_000 + b"\r\n",
        b"220 \xff\xfe\r\n",
        b"\r\n220 late\r\n",
        "drop",
        "hang",
    )
    _says(odd, banner=odd.dice.choice(texts))


@dialogues.kind
def a_greeting(odd: Draft) -> None:
    texts: tuple[Reply, ...] = (
        b"550 5.7.1 your name is none\r\n",
        b"501 5.5.4 need a full host name\r\n",
        b"421 4.7.0 later\r\n",
        b"250\r\n",
        "drop",
    )
    texts += (
        b"250-odd\r\n250-SIZE 10\r\n250 8BITMIME\r\n",
        b"250-odd\r\n250-AUTH\r\n250-AUTH=\r\n250 STARTTLS\r\n",
        b"250 \xff\r\n",
        "hang",
    )
    odd_names = b"250-odd\r\n" + b"".join(b"250-X%d\r\n" % n for n in range(500)) + b"250 end\r\n"
    _says(odd, ehlo=odd.dice.choice((*texts, odd_names)))


@dialogues.kind
def no_extended_greeting(odd: Draft) -> None:
    helo = odd.dice.choice((b"250 odd\r\n", b"502 5.5.1 nor this\r\n", b"550 5.7.1 no\r\n"))
    _says(odd, ehlo=odd.dice.choice((b"502 5.5.2 what\r\n", b"500 what\r\n", b"504 no\r\n")), helo=helo)


@dialogues.kind
def a_lie_about_pipelining(odd: Draft) -> None:
    _says(
        odd,
        ehlo=b"250-odd\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 SIZE\r\n",
        mail=odd.dice.choice((None, b"503 5.5.1 one at a time\r\n")),
    )


@dialogues.kind
def a_limit_of_messages(odd: Draft) -> None:
    over: tuple[Reply, ...] = (
        b"421 4.7.0 too many\r\n",
        b"452 4.5.3 too many messages\r\n",
        b"451 4.7.0 new session, please\r\n",
        "drop",
        b"503 5.5.0 enough\r\n",
    )
    _says(odd, limit=odd.dice.choice((1, 2, 3)), over=odd.dice.choice(over))
