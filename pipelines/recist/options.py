"""The contested points as a user chooses them: YAML with the names of the protocol's switches."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.errors import UsageError


def read_options(path: Path) -> dict[str, Any]:
    """Readings by switch, as the protocol spells them.

    Input: a YAML mapping of switch names to readings (`accept_sd: yes` may be a YAML truth value). Raises `UsageError`
    with every name and reading that does not exist, each with the nearest right word.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file.")
    given = study.read_yaml(path)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise UsageError(f"{path.name}: lines such as `sd_after_pr: sd` are expected.")
    known = study.readings()
    chosen, wrong = {}, []
    for name, value in given.items():
        if name not in known:
            wrong.append(f"{name}: no such switch. {_nearest(str(name), known)}")
            continue
        word = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        spelled = {str(reading): reading for reading in known[name]}
        if word in spelled:
            chosen[name] = spelled[word]
        else:
            wrong.append(f"{name}: no reading {word}. {_nearest(word, spelled)}")
    if wrong:
        raise UsageError(f"{path.name}: " + "\n  ".join(wrong))
    return chosen


def _nearest(word: str, words: Iterable[str]) -> str:
    words = list(words)
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0)
    return (f"Did you mean {near[0]}? " if near else "") + f"One of: {', '.join(words)}."
