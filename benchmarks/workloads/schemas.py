"""50 schemas as applications send them, each with what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Types by one word each; ``+`` after one makes a list of it, ``|`` an enum.
_TYPES = {"s": "string", "i": "integer", "n": "number", "b": "boolean"}
#: What is asked for: the members of its object, each with its type.
_WANTED = {
    "a joke about Hamlet": "setup:s punchline:s",
    "the city of Paris": "name:s country:s population:i",
    "a tag of an article on cooking": "tag:s",
    "Alice, who is 30 years old": "name:s age:i",
    "the sentiment of 'I love this phone'": "sentiment:good|bad|neutral score:n",
    "a recipe for pancakes": "title:s ingredients:s+ minutes:i",
    "a book by Jane Austen": "title:s author:s year:i",
    "the weather in Oslo": "city:s celsius:n rain:b",
    "an order of two coffees": "item:s quantity:i price:n paid:b",
    "a film of 1994": "title:s director:s year:i genres:s+",
    "a support ticket on a broken printer": "subject:s priority:low|medium|high text:s",
    "the keywords of a text on the moon": "keywords:s+",
    "the capital of Japan": "capital:s",
    "whether water is wet": "answer:b reason:s",
    "the sum of 17 and 25": "steps:s+ result:i",
    "a calendar entry for lunch on Monday": "title:s day:Mon|Tue|Wed|Thu|Fri start:s",
    "a cat named Tom": "name:s kind:cat|dog age:i",
    "a product: a red chair": "name:s colour:s price:n in_stock:b",
    "the planets closest to the sun": "planets:s+",
    "a tweet on spring": "text:s hashtags:s+",
    "a person who works at a bank": "first_name:s last_name:s job:s",
    "the translation of 'good morning' to French": "language:s translation:s",
    "a review of a hotel": "stars:i title:s text:s would_return:b",
    "a to-do list for a trip": "items:s+ due:s",
    "a football match": "home:s away:s home_goals:i away_goals:i",
    "a song by the Beatles": "title:s album:s year:i",
    "the parts of the sentence 'Dogs bark'": "subject:s verb:s",
    "a bank transfer of 20 euros": "amount:n currency:EUR|USD to:s",
    "a plan to learn chess": "goal:s weeks:i steps:s+",
    "a flight from Rome to Madrid": "origin:s destination:s hours:n direct:b",
    "a log entry of an error": "level:debug|info|error message:s code:i",
    "a mail to a colleague": "to:s subject:s body:s",
    "an address in London": "street:s number:i city:s postcode:s",
    "the colour of the sky": "colour:blue|green|red",
    "three facts on bees": "facts:s+",
    "a function call to turn on the light": "device:s action:on|off",
    "a house for sale": "rooms:i square_metres:n price:n garden:b",
    "a definition of gravity": "term:s definition:s",
    "a question on history with its answer": "question:s answer:s difficulty:easy|hard",
    "a job advertisement for a cook": "title:s company:s salary:n skills:s+",
    "a route from A to B": "stops:s+ kilometres:n",
    "a patient with a cold": "symptoms:s+ temperature:n urgent:b",
    "a medal of the Olympics": "sport:s medal:gold|silver|bronze year:i",
    "a summary of Cinderella": "title:s summary:s",
    "a chemical element: gold": "name:s symbol:s number:i",
    "a menu for dinner": "starter:s main:s dessert:s",
    "a password rule": "min_length:i digits:b symbols:b",
    "a tree in a forest": "species:s height:n evergreen:b",
    "a SQL query for all users": "query:s tables:s+",
    "an event of 1969": "year:i event:s people:s+",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question, and the schema of its answer."""

    question: str
    schema: dict[str, Any]


def _schema(members: str) -> dict[str, Any]:
    """Return the schema, which says nothing of further members: as many are sent."""
    properties: dict[str, Any] = {}
    for member in members.split():
        name, _, kind = member.partition(":")
        if "|" in kind:
            properties[name] = {"enum": kind.split("|")}
        elif kind.endswith("+"):
            items = {"type": _TYPES[kind[:-1]]}
            properties[name] = {"type": "array", "items": items}
        else:
            properties[name] = {"type": _TYPES[kind]}
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMAS = tuple(
    Wanted(
        f"Write {what} as a JSON object with the members "
        f"{', '.join(member.partition(':')[0] for member in members.split())}.",
        _schema(members),
    )
    for what, members in _WANTED.items()
)
