import json
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from alchemy_async.config import load_campaign
from alchemy_async.config.campaign import TABLES
from alchemy_async.config.templates import STARTER, examples, starter, template
from alchemy_async.errors import SettingsError


def test_there_are_two_examples():
    assert examples() == ("branin", "suzuki")


@pytest.mark.parametrize("example", [None, *examples()])
def test_every_template_loads_as_it_is(write, example):
    settings = load_campaign(write(template(example)))

    assert settings.budget.experiments == 20
    assert settings.workers


def test_an_unknown_example_names_those_that_there_are():
    with pytest.raises(SettingsError, match="Write branin or suzuki"):
        template("../campaign")


def test_the_commented_file_loads_with_every_line_switched_on_but_what_excludes_each_other(write):
    text = re.sub(r"^#(?=[a-z\[])", "", template(), flags=re.MULTILINE)
    text = text.replace('initial = { method = "points"', '#initial = { method = "points"')

    settings = load_campaign(write(text))

    assert {parameter.type for parameter in settings.parameters} == {"continuous", "integer", "discrete", "categorical"}
    assert len(settings.constraints) == 4
    assert settings.workers[0].instrument


def test_the_commented_file_loads_with_points_of_ones_own(write):
    text = template().replace('#initial = { method = "points"', 'initial = { method = "points"')

    assert load_campaign(write(text)).n_initial() == 2


def test_the_commented_file_shows_every_setting():
    shown = set(re.findall(r"(\w+) = ", template()))

    assert {name for keys, model in TABLES.items() if keys for name in model.model_fields} <= shown


def test_the_defaults_that_the_commented_file_shows_are_the_defaults(write):
    as_it_is = load_campaign(write(template()))
    text = re.sub(r"^#(?=look_ahead|when_late|options = \{|labels|\w+_s )", "", template(), flags=re.MULTILINE)

    assert load_campaign(write(text)) == as_it_is


def test_the_starter_takes_the_parameters_of_the_commented_file_and_returns_a_yield(write):
    settings = load_campaign(write(template()))
    module, name = settings.workers[0].driver.split(":")
    rooms = {}
    exec(compile(starter(), STARTER, "exec"), rooms)

    context = SimpleNamespace(sleep=lambda seconds: None)
    corners = [
        rooms[name](temperature=temperature, time=time, context=context)
        for temperature in (300.0, 400.0)
        for time in (5.0, 120.0)
    ]

    assert f"{module}.py" == STARTER
    assert set(settings.as_space().names) == {"temperature", "time"}
    assert all(0 <= value <= 100 for value in corners)
    assert len(set(corners)) == 4


def test_branin_is_the_physical_function_with_three_workers(write):
    settings = load_campaign(write(template("branin")))

    (worker,) = settings.workers
    assert [parameter.bounds for parameter in settings.parameters] == [(-5, 10), (0, 15)]
    assert settings.objectives[0].goal == "minimize"
    assert (worker.count, worker.driver) == (3, "olympus:Branin")
    assert worker.options == {"domain": "physical", "durations": [0.5, 3.0]}


def test_suzuki_is_the_dataset_as_olympus_describes_it(write):
    settings = load_campaign(write(template("suzuki")))
    (root,) = find_spec("olympus").submodule_search_locations

    described = json.loads((Path(root) / "datasets" / "dataset_suzuki" / "config.json").read_text())

    assert [
        {"name": parameter.name, "low": parameter.bounds[0], "high": parameter.bounds[1]}
        for parameter in settings.parameters
    ] == described["parameters"]
    assert [objective.name for objective in settings.objectives] == [m["name"] for m in described["measurements"]]
    assert settings.objectives[0].goal == described["default_goal"]
