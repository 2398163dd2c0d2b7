from pathlib import Path

from alchemy_async.config.campaign import TABLES
from alchemy_async.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "campaign.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "renew it: python -m alchemy_async.config.reference > docs/campaign.md"
    )


def test_every_setting_has_a_meaning_and_an_example():
    for keys, model in TABLES.items():
        for name, field in model.model_fields.items():
            assert field.description, (keys, name)
            assert not keys or field.examples, (keys, name)


def test_every_setting_has_a_row():
    rows = {line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")}

    assert rows == {name for keys, model in TABLES.items() if keys for name in model.model_fields}
