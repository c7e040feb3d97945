"""Text inside of a Markdown table."""


def cell(text: str) -> str:
    """A text as one cell: a bar is no border, and a line break does not end the row."""
    return " ".join(text.replace("|", "\\|").splitlines())
