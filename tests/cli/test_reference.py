from pathlib import Path

from alchemy_async.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_of_the_commands_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "renew it: python -m alchemy_async.cli.reference > docs/commands.md"
    )


def test_every_option_is_explained():
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]

    assert len(rows) > 20
    assert all(meaning.strip() for _, meaning, *_ in rows)
