"""The table of chat templates in docs/model-families.md, made from the code.

``python -m tests.model_families`` writes it; a test compares it.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.output_parsers import OutputParser

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "model-families.md"
FOLDER = ROOT / "tests" / "chat_templates"
BEGIN = "<!-- The table is written by: python -m tests.model_families -->"
END = "<!-- end of the table -->"
NO_TOOLS = "The template has no place for tools."
#: Why a template has no output parser of its own.
REASONS = {
    "CohereForAI-c4ai-command-r-plus-tool_use": (
        "Command R+ must call in every answer, `directly_answer` where it has no tool "
        "to call."
    ),
    "HuggingFaceTB-SmolLM3-3B": NO_TOOLS,
    "fireworks-ai-llama-3-firefunction-v2": (
        "The template reads variables that only its own server sets."
    ),
    "google-gemma-2-2b-it": NO_TOOLS,
    "llama-cpp-rwkv-world": NO_TOOLS,
    "microsoft-Phi-3.5-mini-instruct": NO_TOOLS,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one template.

    ``num_texts`` is the number of answers in the tests that its output parser reads.
    """

    template: str
    output_parser: OutputParser
    shows_tools: bool
    shows_calls: bool
    reasons: bool
    takes_several_calls: bool
    num_texts: int

    def __str__(self) -> str:
        parser = self.output_parser
        marks = "–"
        if self.reasons:
            begin, end = parser.reasoning.begin[0], parser.reasoning.end[0]
            marks = f"`{begin.strip()}` … `{end}`".replace("|", r"\|")
        name = f"`{parser.name}`"
        if self.template in REASONS:
            name += f": {REASONS[self.template]}"
        elif not self.shows_tools:
            name += ", tools in the system message"
        calls = "several"
        if self.shows_calls and not self.takes_several_calls:
            calls = "one"
        elif parser.framing.separator is None:
            calls = "several; one if forced"
        texts = f"{self.num_texts} answer{'s' * (self.num_texts > 1)}"
        cells = (self.template, name, marks, calls, texts)
        return f"| {' | '.join(cells)} |"


def rows() -> list[Row]:
    """Return a row for each template in tests/chat_templates."""
    from inference.output_parsers.families import detect
    from inference.prompts.template import ChatTemplate
    from inference.prompts.thoughts import reasons, with_marks_of
    from tests.inference.output_parsers.transcripts import TRANSCRIPTS

    counts = Counter(transcript.family for transcript in TRANSCRIPTS)
    found = []
    for path in sorted(FOLDER.glob("*.jinja"), key=lambda path: path.stem.lower()):
        template = ChatTemplate(path.read_text())
        parser = with_marks_of(template, detect(path.read_text()))
        abilities = template.abilities(has_tools=True)
        found.append(
            Row(
                path.stem,
                parser,
                shows_tools=abilities.takes_tools,
                shows_calls=abilities.takes_calls,
                reasons=reasons(template, parser),
                takes_several_calls=abilities.takes_several_calls,
                num_texts=counts[parser.name],
            )
        )
    return found


def table() -> str:
    """Return the table, between the lines that mark it in the page."""
    head = "| template | output parser | thought marks | calls | tested with |"
    rule = "|---|---|---|---|---|"
    return "\n".join([BEGIN, "", head, rule, *map(str, rows()), "", END])


def with_table(page: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


def main() -> None:
    """Write the table into the page."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    django.setup()
    PAGE.write_text(with_table(PAGE.read_text()))


if __name__ == "__main__":
    main()
