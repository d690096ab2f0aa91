"""The functions and filters of chat templates: Hugging Face's and Jinja's."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import Environment, TemplateError, nodes, pass_environment
from jinja2.ext import Extension
from jinja2.filters import do_indent, make_attrgetter

from inference.prompts.rendering.sandbox import (
    BoundedSandbox,
    TemplateRefused,
    check_arguments,
    count_nodes,
    current_budget,
    measure_format,
    measure_replace,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2.parser import Parser

_MAX_INDENT = 16
_UNNEEDED_FILTERS = (
    "filesizeformat",
    "pprint",
    "random",
    "striptags",
    "urlize",
    "wordwrap",
    "xmlattr",
)
_UNNEEDED_GLOBALS = ("cycler", "joiner", "lipsum")


class TemplateRaised(TemplateError):
    """A template called ``raise_exception``; the message is the template's."""


class _GenerationTag(Extension):
    """Ignores ``{% generation %}``, which marks answers for training."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def make_environment() -> Environment:
    """Return a Jinja environment like the one of Hugging Face's transformers.

    See ``_compile_jinja_template`` in transformers/utils/chat_template_utils.py.
    """
    environment = BoundedSandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationTag],
    )
    for name in _UNNEEDED_GLOBALS:
        del environment.globals[name]
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    filters = environment.filters
    for name in _UNNEEDED_FILTERS:
        del filters[name]
    own = {
        "format": _format,
        "indent": _indent,
        "join": _join,
        "replace": _replace,
        "string": text_of,
        "tojson": _to_json,
    }
    for name, function in {**filters, **own}.items():
        if name not in ("counted", "concatenated"):
            filters[name] = _bounded(function)
    return environment


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter whose calls and text count against the budget."""

    # wraps() copies the attributes that tell Jinja which arguments to pass.
    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        budget = current_budget()
        budget.step()
        check_arguments(args, kwargs)
        result = function(*args, **kwargs)
        if isinstance(result, str):
            budget.make(len(result))
        return result

    return bounded


def _raise_exception(message: str) -> NoReturn:
    raise TemplateRaised(str(message))


def _strftime_now(format: str) -> str:  # noqa: A002 - templates may name it
    measure_format(format, ["Wednesday, 30 September 2026"], mark="%")
    return datetime.now().astimezone().strftime(format)


def _format(template: str, *args: Any, **kwargs: Any) -> str:
    measure_format(template, [*args, *kwargs.values()], mark="%")
    return str(template) % (kwargs or args)


def _indent(
    s: str,
    width: int | str = 4,
    first: bool = False,  # noqa: FBT001, FBT002 - Jinja's signature
    blank: bool = False,  # noqa: FBT001, FBT002
) -> str:
    step = width if isinstance(width, int) else len(width)
    current_budget().make(len(s) + (s.count("\n") + 1) * step)
    return do_indent(s, width, first, blank)


@pass_environment
def _join(
    environment: Environment,
    value: Iterable[Any],
    d: str = "",
    attribute: str | int | None = None,
) -> str:
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    texts = [text_of(item) for item in value]
    current_budget().make(len(texts) * len(d))
    return d.join(texts)


def _replace(s: Any, old: str, new: str, count: int = -1) -> str:
    text = text_of(s)
    measure_replace(text, old, new)
    return text.replace(old, new, count)


def _counted_items(items: Iterable[Any]) -> Iterator[Any]:
    budget = current_budget()
    for item in items:
        budget.step()
        yield item


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - Hugging Face's signature
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - Hugging Face's signature
) -> str:
    if indent is not None and indent > _MAX_INDENT:
        raise TemplateRefused(f"it indents JSON by more than {_MAX_INDENT}")
    if isinstance(value, Iterator):  # llama.cpp's map filter returns a list
        value = list(_counted_items(value))
    count_nodes(value)
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
