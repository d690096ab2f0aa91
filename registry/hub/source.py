"""What people name when they want a model: a repository of a hub, or an address."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from llm_manager.lib.quoting import printable, quote
from registry.hub.errors import InvalidSource
from registry.hub.paths import SUFFIX, checked_path

#: The parts of a repository's name, as huggingface_hub checks them; ASCII only.
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
#: What a browser shows of a file: …/resolve/<revision>/<path>.
_FILE_PAGES = ("resolve", "blob")
#: The public hub's names; people copy addresses of it even where a mirror is used.
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
#: ModelScope's names; what begins with them is of it.
MODELSCOPE = "modelscope.cn"
_MODELSCOPE_HOSTS = frozenset({MODELSCOPE, f"www.{MODELSCOPE}"})
MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository, and what of it: a quantization, a file, or "" for the usual one.

    ``revision`` is a branch, a tag or a commit; "" is the main branch.
    ``is_modelscope``: it is of ModelScope, not of the hub.
    """

    repo: str
    choice: str = ""
    revision: str = ""
    is_modelscope: bool = False

    @property
    def name(self) -> str:
        """The repository, with the host if it is not the hub's."""
        return f"{MODELSCOPE}/{self.repo}" if self.is_modelscope else self.repo

    def __str__(self) -> str:
        choice = f":{self.choice}" if self.choice else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.name}{revision}{choice}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """The address of one GGUF file."""

    url: str
    file_name: str

    def __str__(self) -> str:
        return self.url


Source = HubSource | FileSource


def parse_source(text: str, *, endpoint: str) -> Source:
    """Return what is named. Raises InvalidSource and HostilePath.

    ``org/repo``, ``org/repo:Q4_K_M``, ``org/repo:folder/file.gguf``,
    ``org/repo@revision:…``, each also with ``modelscope.cn/`` before it, an address of
    the hub at ``endpoint`` or of ModelScope, or any address of a GGUF file.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise InvalidSource(f"A model's source has at most {MAX_LENGTH} characters.")
    if "://" in text:
        return _address(text, endpoint)
    for host in _HUB_HOSTS:
        text = text.removeprefix(f"{host}/")
    is_modelscope = text.startswith(f"{MODELSCOPE}/")
    text = text.removeprefix(f"{MODELSCOPE}/")
    name, _, choice = text.partition(":")
    repo, _, revision = name.partition("@")
    if repo.count("/") > 1 and repo.lower().endswith(SUFFIX) and not choice:
        organisation, second, choice = repo.split("/", 2)
        repo = f"{organisation}/{second}"
    source = _hub_source(repo, choice, revision, text)
    return replace(source, is_modelscope=is_modelscope)


def _hub_source(repo: str, choice: str, revision: str, text: str) -> HubSource:
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise InvalidSource(
            f"'{printable(quote(text))}' is no model of a hub: write <org>/<repo>, "
            "<org>/<repo>:<quantization>, <org>/<repo>:<file>, or the https address of "
            f"a {SUFFIX} file."
        )
    if not (revision + choice).isprintable() or revision.startswith(("/", ".")):
        raise InvalidSource(f"'{printable(quote(text))}' has characters no file has.")
    if choice.lower().endswith(SUFFIX):
        checked_path(choice)
    return HubSource(repo, choice, revision)


def _address(text: str, endpoint: str) -> Source:
    shown = printable(quote(text))
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        has_port = parts.port is not None
    except ValueError:
        host, has_port = "", False
    if not host or parts.scheme not in ("http", "https") or not text.isprintable():
        raise InvalidSource(f"'{shown}' is no address as https://host/file{SUFFIX}.")
    if parts.username is not None or parts.password is not None:
        raise InvalidSource(
            "An address with a user or a password is refused: it would be kept."
        )
    path = unquote(parts.path)
    is_public_hub = host in _HUB_HOSTS and not has_port
    if is_public_hub or text.startswith(f"{endpoint.rstrip('/')}/"):
        base = "" if is_public_hub else urlsplit(endpoint).path.rstrip("/")
        return _page_of_hub(path.removeprefix(base).strip("/"), text)
    if host in _MODELSCOPE_HOSTS and not has_port:
        page = path.strip("/").removeprefix("models/")
        return replace(_page_of_hub(page, text), is_modelscope=True)
    if parts.query or parts.fragment:
        raise InvalidSource(
            "An address with '?' or '#' is refused: what is behind it may be a secret, "
            "and it would be kept. Leave it out, or download the file yourself."
        )
    name = path.rpartition("/")[2]
    checked_path(name)
    return FileSource(text, name)


def _page_of_hub(path: str, text: str) -> HubSource:
    words = path.split("/")
    repo, rest = "/".join(words[:2]), words[2:]
    if len(rest) > 2 and rest[0] in _FILE_PAGES:
        return _hub_source(repo, "/".join(rest[2:]), rest[1], text)
    if len(rest) >= 2 and rest[0] == "tree":
        return _hub_source(repo, "", rest[1], text)
    return _hub_source(repo, "", "", text)
