"""The reference of the rules says what the files say, in both languages."""

from pipelines.rules.load import load_rules
from pipelines.rules.pages import FAMILIES, FOLDER, pages


def test_the_pages_are_up_to_date() -> None:
    made = pages()
    assert {p.name for p in FOLDER.glob("*.md")} == made.keys()
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "python -m pipelines.rules.pages"


def test_every_rule_has_its_place() -> None:
    made = pages()
    rules = load_rules()
    assert {rule.family for rule in rules} == FAMILIES.keys()
    for rule in rules:
        page = made[f"{rule.family}.md"]
        assert f"## {rule.name}\n" in page and rule.title["en"] in page and rule.title["it"] in page
        assert f"[{rule.name}]({rule.family}.md#{rule.name})" in made["README.md"]
