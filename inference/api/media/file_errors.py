"""What is wrong with a file of a stranger; the message is the end of a sentence."""


class DamagedFile(ValueError):
    """The file is not what it should be."""


class TooLargeFile(ValueError):
    """The file has more pixels, or is longer, than it may be."""
