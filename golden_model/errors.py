"""The one exception that means: the user asked for something that cannot be."""


class UserError(ValueError):
    """A mistake of the user. The message is one line: what was wrong, what is allowed, how to mend it.

    The command line prints it without a traceback and exits with code 2.
    """
