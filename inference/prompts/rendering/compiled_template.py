"""A template as Jinja compiles it. Used in the child processes only."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError, meta

from inference.prompts.rendering.filters import TemplateRaised, make_environment
from inference.prompts.rendering.sandbox import render_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template


class TemplateFailure(Exception):
    """A template cannot be compiled or rendered; the message is a sentence."""


class CompiledTemplate:
    """A compiled template, and the ``variables`` that it reads but does not set."""

    def __init__(self, source: str) -> None:
        """Compile. Raises TemplateFailure."""
        environment = _environment()
        try:
            self._template: Template = environment.from_string(source)
            tree = environment.parse(source)
        except TemplateSyntaxError as error:
            raise TemplateFailure(
                f"The model's chat template has an error in line {error.lineno}: "
                f"{error.message}"
            ) from None
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise TemplateFailure(
                f"The model's chat template cannot be compiled: {error!r}"
            ) from None
        self.variables = sorted(meta.find_undeclared_variables(tree))

    def render(self, context: Mapping[str, Any], max_chars: int) -> str:
        """Return the text, of ``max_chars`` at most. Raises TemplateFailure."""
        try:
            return render_bounded(
                lambda: self._template.generate(context), max_chars=max_chars
            )
        except TemplateRaised as error:
            raise TemplateFailure(
                f"The model's chat template rejected the messages: {error.message}"
            ) from None
        except TemplateError as error:
            raise TemplateFailure(
                f"The model's chat template failed: {error.message}"
            ) from None
        except MemoryError:
            raise TemplateFailure(
                "The model's chat template failed: it takes too much memory."
            ) from None
        # A template is a program, so it may raise anything.
        except Exception as error:
            raise TemplateFailure(
                f"The model's chat template failed: {error}"
            ) from None


@functools.lru_cache(maxsize=64)
def compiled_template(source: str) -> CompiledTemplate:
    """Return the template, compiled once. Raises TemplateFailure."""
    return CompiledTemplate(source)


@functools.cache
def _environment() -> Environment:
    return make_environment()
