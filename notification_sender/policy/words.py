"""Numbers with their nouns, for sentences."""


def counted(number: float, one: str, many: str = "") -> str:
    """``1 circuit``, ``1,240 circuits``. ``many``: where it is not ``one`` and an s."""
    return f"{number:,.0f} {one if number == 1 else many or f'{one}s'}"
