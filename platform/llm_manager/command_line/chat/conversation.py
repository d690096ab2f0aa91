"""A conversation: the model, its messages, and the parameters of its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_manager.command_line.exit_status import CommandFailed

if TYPE_CHECKING:
    from pathlib import Path


#: Members of a request that are the conversation's own.
_OWN = frozenset({"model", "messages", "stream", "stream_options"})


def is_settable(name: str, *, several: bool = False) -> bool:
    """Whether a user may set a member of the requests.

    ``several``: more than one answer to a question can be shown.
    """
    return name not in _OWN and (several or name != "n")


class ChatConversation(BaseModel):
    """What `/save` writes and `/load` reads.

    ``parameters`` are members of the request beside model and messages, as
    ``temperature``; the server checks them.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    system: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    messages: list[dict[str, Any]] = Field(default_factory=list)
    #: ``data:`` URLs of images that go with the next question.
    images: list[str] = Field(default_factory=list)
    #: Sounds that do, as OpenAI has them.
    sounds: list[dict[str, str]] = Field(default_factory=list)

    def request(self) -> dict[str, Any]:
        """Return the body of the request for the next answer."""
        system = (
            [] if self.system is None else [{"role": "system", "content": self.system}]
        )
        return {
            **self.parameters,
            "model": self.model,
            "messages": [*system, *self.messages],
        }

    def ask(self, prompt: str) -> None:
        """Add a message of the user, with the images and sounds given before it."""
        content: Any = prompt
        if self.images or self.sounds:
            content = [
                *({"type": "image_url", "image_url": {"url": u}} for u in self.images),
                *({"type": "input_audio", "input_audio": each} for each in self.sounds),
                {"type": "text", "text": prompt},
            ]
            self.images, self.sounds = [], []
        self.messages.append({"role": "user", "content": content})

    def answered(self, content: str, reasoning: str) -> None:
        """Add the answer, as far as it came."""
        thoughts = {"reasoning_content": reasoning} if reasoning else {}
        self.messages.append({"role": "assistant", "content": content, **thoughts})

    def ask_again(self) -> bool:
        """Remove the last answer; return whether there is a question left."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            self.messages.pop()
        return bool(self.messages)

    def set(self, name: str, value: Any) -> None:
        """Set a parameter, or the system message; None removes it."""
        if name == "system":
            self.system = value
        elif value is None:
            self.parameters.pop(name, None)
        else:
            self.parameters[name] = value

    def save(self, file: Path) -> None:
        """Write it as JSON. Raises OSError."""
        file.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_conversation(file: Path) -> ChatConversation:
    """Read what ``save`` has written. Raises CommandFailed and OSError."""
    try:
        return ChatConversation.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise CommandFailed(
            f"{file} is no saved conversation: {place}: {first['msg']}."
        ) from None
