"""Why a model cannot be downloaded. Each message says what can be done."""

from __future__ import annotations

from registry.errors import RegistryError


class DownloadFailed(RegistryError):
    """A download that ends here; it may be tried again."""

    code = "download_failed"


class InvalidSource(DownloadFailed):
    """What was named is no repository of a hub and no address of a GGUF file."""

    code = "invalid_source"


class NoSuchFile(DownloadFailed):
    """The hub, or the repository, has nothing of this name."""

    code = "source_not_found"


class AddressRefused(DownloadFailed):
    """An address that the configuration does not permit."""

    code = "address_refused"


class HostilePath(DownloadFailed):
    """A name of a file that must not be written."""

    code = "hostile_path"


class DiskFull(DownloadFailed):
    """Files that have no room on the disk."""

    code = "disk_full"


class WrongContent(DownloadFailed):
    """A file that is not what the hub says, or no GGUF file."""

    code = "wrong_content"


class BrokenConnection(DownloadFailed):
    """A server that cannot be reached, or ends the answer in the middle."""

    code = "broken_connection"


class NameServerAway(BrokenConnection):
    """No server answers what address a host has; one may later."""


class DownloadStopped(Exception):
    """Somebody cancelled the download, or its process is asked to end."""
