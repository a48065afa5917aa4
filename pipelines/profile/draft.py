"""What is known of a new centre while its first mapping is written, and how YAML is written on one line."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.profile.guess import Guess
from pipelines.profile.kinds import About, most
from pipelines.profile.seen import Seen
from pipelines.profile.vocabulary import Vocabulary

PLAIN = re.compile(r"[A-Za-zÀ-ÿ][\w À-ÿ()./%+-]*(?<! )")
WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


@dataclass
class Draft:
    """What is known of a new centre while its mapping is written."""

    centre: str
    title: str
    kind: str
    language: str
    tables: list[tuple[Seen, list[About], list[Guess]]]
    known: Vocabulary
    skipped: Sequence[str] = ()
    questions: list[str] = field(default_factory=list)

    def ask(self, question: str) -> str:
        """A question for questions.md; returns the comment that marks its place."""
        self.questions.append(question)
        return f"# question {len(self.questions)}: {question}"

    @property
    def columns(self) -> list[About]:
        return [a for _, columns, _ in self.tables for a in columns]

    @property
    def formats(self) -> list[str]:
        """The most frequent date format first; those of other columns are stated there."""
        first = most([a.formats[0] for a in self.columns if a.formats])
        return list(next((a.formats for a in self.columns if a.formats and a.formats[0] == first), ()))

    @property
    def decimal(self) -> str:
        signs = {a.decimal for a in self.columns if a.decimal}
        return "." if not signs else "either" if len(signs) > 1 else signs.pop()


def q(value: Any) -> str:
    """A YAML scalar."""
    text = str(value)
    plain = PLAIN.fullmatch(text) and text.casefold() not in WORDS and ": " not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """A YAML value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{q(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool | int) else q(value)
