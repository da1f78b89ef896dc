"""The errors that a user of this project is meant to read."""

RESULT_NEUTRAL = True  # the words of errors


class GmnerError(Exception):
    """A problem the user can mend; its text says where, what was expected, what was found, what to do."""


class DataError(GmnerError):
    """Input that does not have the form it must have; the text names the file and the line or row."""


class ConfigError(GmnerError):
    """A configuration that cannot be meant; the text names the key, the value and the nearest right one."""


class MissingInputError(GmnerError):
    """Something a stage needs is not there; the text says how many, which, and where to get them."""
