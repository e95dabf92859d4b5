"""What was made of an object is found again by the object itself, and by no other."""

import gc

from notification_sender.identity_cache import IdentityCache


class Source:
    """Equal to every other: only the identity tells two apart."""

    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def test_each_object_gets_its_own_and_gets_it_once() -> None:
    made: list[Source] = []
    cache = IdentityCache(lambda it: (made.append(it), it)[1], most=2)
    first, second = Source(), Source()
    assert cache(first) is first
    assert cache(second) is second
    assert cache(first) is first
    assert len(made) == 2


def test_an_object_of_which_something_is_kept_lends_its_identity_to_no_other() -> None:
    cache: IdentityCache[Source, int] = IdentityCache(id, most=1000)
    for _ in range(1000):
        source = Source()
        assert cache(source) == id(source)
        del source
        gc.collect(0)


def test_no_more_is_kept_than_was_asked_for() -> None:
    made: list[int] = []
    cache = IdentityCache(lambda it: made.append(id(it)), most=2)
    sources = [Source() for _ in range(3)]
    for source in (*sources, sources[0], sources[2]):
        cache(source)
    assert len(made) == 4  # the first had to leave, the last stays


def test_what_cannot_be_made_is_not_kept() -> None:
    cache: IdentityCache[list[int], int] = IdentityCache(lambda it: it[0], most=2)
    source: list[int] = []
    try:
        cache(source)
    except IndexError:
        source.append(7)
    assert cache(source) == 7


def test_what_a_stranger_may_have_made_large_is_not_kept() -> None:
    made: list[str] = []
    cache: IdentityCache[str, None] = IdentityCache(made.append, most=2, small=lambda it: len(it) < 5)
    long, short = "x" * 10, "y" * 3
    for source in (long, long, short, short):
        cache(source)
    assert made == [long, long, short]
