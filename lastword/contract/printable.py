"""Text from elsewhere, for a terminal or a log."""


def printable(text: str) -> str:
    """The text in one line, what a terminal would obey written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, thing: str) -> str:
    """A number of things, in English."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
