"""A sandbox for chat templates: programs from strangers that come with model files.

Jinja's own sandbox keeps them from Python's internals and from changing their input.
This one also limits their time and memory: it counts loops, calls and filters, and
measures text before it is made. It stops mistakes and known attacks, for a few
microseconds a rendering, with a message that says what the template did. What it does
not know ends with the process that it runs in (child.py).
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2.runtime import Context

MAX_STEPS = 100_000
MAX_RANGE = 10_000
#: All text that a rendering may make, as a multiple of the longest prompt.
_MAX_WASTE = 32
_MAX_NUMBER_BITS = 256
_MAX_WIDTH = 10_000
#: An item of a list, or a value that is not text, counts as this many characters.
_ITEM_CHARS = 16
_WIDE_FORMAT = re.compile(r"\d{4,}|\*")
_REFUSED_METHODS = ("expandtabs", "translate")


class TemplateRefused(TemplateError):
    """A template exceeds a limit of the sandbox; the message says which."""


@dataclass(slots=True)
class Budget:
    """What is left of the limits of one rendering."""

    chars: int
    steps: int = MAX_STEPS

    def step(self) -> None:
        """Count an iteration, a call or a filter. Raises TemplateRefused."""
        self.steps -= 1
        if self.steps < 0:
            raise TemplateRefused(f"it takes more than {MAX_STEPS:,} steps")

    def make(self, chars: int) -> None:
        """Count text that is about to be made. Raises TemplateRefused."""
        self.chars -= chars
        if self.chars < 0:
            raise TemplateRefused("it renders too much text")


_budget: contextvars.ContextVar[Budget] = contextvars.ContextVar("budget")


def current_budget() -> Budget:
    return _budget.get()


def render_bounded(render: Callable[[], Iterable[str]], *, max_chars: int) -> str:
    """Return the text of a template's pieces. Raises whatever the template raises."""
    token = _budget.set(Budget(chars=_MAX_WASTE * max_chars))
    try:
        pieces: list[str] = []
        length = 0
        for piece in render():
            length += len(piece)
            if length > max_chars:
                raise TemplateRefused(f"it renders more than {max_chars:,} characters")
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _budget.reset(token)


def text_of(value: Any) -> str:
    """Return the value as text, within the budget.

    The nodes of a tree are counted first: a few dozen lists, each with the next one
    twice, have billions of them.
    """
    budget = _budget.get()
    if not isinstance(value, str):
        count_nodes(value)
    text = str(value)
    budget.make(len(text))
    return text


def count_nodes(value: Any) -> None:
    """Count the nodes of a tree of lists and objects. Raises TemplateRefused."""
    step = _budget.get().step
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            step()
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            step()
            stack.extend(item)


def measure_replace(text: str, old: str, new: str) -> None:
    """Count what ``text.replace(old, new)`` makes. Raises TemplateRefused."""
    _budget.get().make(len(text) + text.count(old) * len(new))


def measure_format(template: str, values: Iterable[Any], *, mark: str) -> None:
    """Count the most that a format can make. Raises TemplateRefused."""
    if _WIDE_FORMAT.search(template):
        raise TemplateRefused("it pads text too far")
    longest = max((len(text_of(value)) for value in values), default=0)
    _budget.get().make(len(template) + template.count(mark) * longest)


def check_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Reject numbers that are so large that they can only pad or repeat text."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > _MAX_WIDTH:
            raise TemplateRefused(f"it passes a number above {_MAX_WIDTH:,}")


class _Counted(CodeGenerator):
    """Compiles loops and ``~`` so that a filter counts them."""

    def visit_Template(  # noqa: N802 - Jinja's name
        self, node: nodes.Template, frame: Frame | None = None
    ) -> None:
        for loop in list(node.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None)
        for concat in list(node.find_all(nodes.Concat)):
            parts = nodes.List(concat.nodes)
            concat.nodes = [nodes.Filter(parts, "concatenated", [], [], None, None)]
        node.set_environment(self.environment)
        super().visit_Template(node, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self.write("environment.own_list(")
        super().visit_List(node, frame)
        self.write(")")


class _OwnList(list[Any]):
    """A list that the template itself has made, and may change."""


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment whose renderings are limited in time and size.

    Filters whose output can be far larger than their input must be replaced by ones
    that measure it first: see filters.py.
    """

    code_generator_class = _Counted
    own_list = _OwnList
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        # Constant folding would run filters at compile time, without a budget.
        super().__init__(
            optimized=False, cache_size=0, finalize=_measured_output, **options
        )
        self.globals["range"] = _bounded_range
        self.filters["counted"] = _counted
        self.filters["concatenated"] = _concatenated

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may use an attribute.

        Kimi K2's keeps ids in a list of its own; what it is given stays as it is.
        """
        is_own = isinstance(obj, _OwnList) and attr in ("append", "pop")
        return is_own or super().is_safe_attribute(obj, attr, value)

    def call(
        __self,  # noqa: N805 - the template's own arguments may be named self
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call a function, a macro or a method, within the budget."""
        _budget.get().step()
        check_arguments(args, kwargs)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            _measure_method(owner, __obj.__name__, args)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return the sandbox's own ``str.format`` for a bound one, measured."""
        sandboxed = super().wrap_str_format(value)
        if sandboxed is None:
            return None
        template: str = value.__self__

        def measured(*args: Any, **kwargs: Any) -> str:
            values = [*args, *kwargs.values()]
            if value.__name__ == "format_map" and args:
                values = list(dict(args[0]).values())
            measure_format(template, values, mark="{")
            return sandboxed(*args, **kwargs)

        return measured

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator whose result may be large, within the budget."""
        make = _budget.get().make
        if operator == "%" and isinstance(left, str):
            values = right.values() if isinstance(right, dict) else right
            is_one = isinstance(values, str) or not isinstance(values, Iterable)
            measure_format(left, [values] if is_one else values, mark="%")
        elif operator == "*" and not isinstance(left, (int, float)):
            make(_size(left) * max(right, 0))
        elif operator == "*" and not isinstance(right, (int, float)):
            make(_size(right) * max(left, 0))
        elif operator == "+" and not isinstance(left, (int, float)):
            make(_size(left) + _size(right))
        elif operator == "**" and (abs(left) > 2**16 or abs(right) > 16):
            raise TemplateRefused("it makes too large a number")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > _MAX_NUMBER_BITS:
            raise TemplateRefused("it makes too large a number")
        return result


def _measured_output(value: Any) -> Any:
    return text_of(value)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    step = _budget.get().step
    for item in items:
        step()
        yield item


def _concatenated(parts: list[Any]) -> str:
    return "".join([text_of(part) for part in parts])


def _bounded_range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise TemplateRefused(f"it makes a range of more than {MAX_RANGE:,}")
    return numbers


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (list, tuple)):
        return _ITEM_CHARS * len(value)
    return _ITEM_CHARS


def _measure_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    """Count the text that a method of a string is about to make."""
    if name in _REFUSED_METHODS:
        raise TemplateRefused(f"it calls str.{name}")
    if name == "replace" and len(args) >= 2:
        measure_replace(text, str(args[0]), str(args[1]))
    elif name == "join" and args and isinstance(args[0], (list, tuple)):
        _budget.get().make(sum(len(text) + _size(item) for item in args[0]))
    else:
        _budget.get().make(len(text))
