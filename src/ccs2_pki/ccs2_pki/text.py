"""Texts of strangers, for people."""


def printable(text: str) -> str:
    """Return a stranger's text as one line that topics and logs can show."""
    return ''.join(character if character.isprintable() else '\N{REPLACEMENT CHARACTER}'
                   for character in text)
