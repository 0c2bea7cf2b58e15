"""What can go wrong, named for whose fault it is."""


class CommandError(Exception):
    """What the command was asked for cannot be done; the text tells the person who asked why."""
