"""The error that is a sentence for a person."""


class Refused(Exception):  # noqa: N818 - it reads as what happened to the input
    """Bad input or a broken precondition: one clear sentence for a person, exit status 2."""
