"""What the end of the program must know of the command that ran."""


class Session:
    """Whether the command was to print JSON: then its error is printed as JSON too."""

    as_json = False
