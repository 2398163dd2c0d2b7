import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from alchemy_async.config import BudgetSettings, WorkerSettings, check_campaign, load_campaign
from alchemy_async.experiment import Objective
from alchemy_async.space import Categorical, Context, Continuous, Discrete, Fixed, Integer, Rule


def test_a_file_without_a_mistake_becomes_settings_that_say_the_same(write, text):
    settings = load_campaign(write(text))

    assert settings.campaign.name == "amide-coupling"
    assert settings.budget.experiments == 20
    assert settings.planner.seed == 1
    assert settings.planner.initial.n == 5
    assert settings.workers[0].driver == "my_lab:reaction"
    assert settings.workers[0].timeout_s == 3600


def test_the_space_has_every_parameter_in_the_order_of_the_file_and_discrete_values_ascending(document):
    space = check_campaign(document).as_space()

    assert space.parameters == (
        Continuous("temperature", unit="K", low=300.0, high=400.0),
        Integer("time", low=1, high=40),
        Discrete("loading", options=(0.5, 1.0, 5.0)),
        Categorical("solvent", options=("DMF", "THF")),
    )


@pytest.mark.parametrize("sense", ["at_most", "at_least", "equals"])
def test_a_constraint_keeps_its_sense_and_its_bound(document, sense):
    document["constraints"] = [{"terms": {"temperature": 1, "time": 2}, sense: 380}]

    (constraint,) = check_campaign(document).as_space().constraints

    assert (constraint.terms, constraint.sense, constraint.bound) == ((("temperature", 1), ("time", 2)), sense, 380)


def test_a_fixed_parameter_and_a_reading_keep_their_scale_and_leave_nothing_to_choose(document):
    document["parameters"][0]["fixed"] = 350
    document["parameters"][3]["context"] = True

    temperature, _, _, solvent = check_campaign(document).as_space().parameters

    assert temperature == Fixed("temperature", unit="K", of=Continuous("temperature", "K", low=300, high=400), at=350.0)
    assert solvent == Context("solvent", of=Categorical("solvent", options=("DMF", "THF")))


def test_descriptors_follow_the_order_of_the_options(document):
    document["parameters"][3]["descriptors"] = {"THF": [7, 66], "DMF": [36.7, 153]}

    assert check_campaign(document).as_space().parameters[3].descriptors == ((36.7, 153.0), (7.0, 66.0))


def test_a_function_becomes_a_rule_that_knows_the_folder(write, text):
    folder = write(text + '\n[[constraints]]\nfunction = "my_lab:is_possible"\n')

    space = load_campaign(folder).as_space()

    assert space.rules == (Rule("my_lab:is_possible", str(folder)),)
    assert len(space.constraints) == 1


def test_what_nobody_chooses_makes_the_initial_design_no_larger(document):
    document["planner"], document["budget"] = {}, {}
    document["parameters"][0]["fixed"] = 350

    assert check_campaign(document).n_initial() == 6


def test_objectives_carry_goal_and_unit(document):
    document["objectives"].append({"name": "cost", "goal": "minimize"})

    objectives = check_campaign(document).as_objectives()

    assert objectives == (Objective("yield", "maximize", "%"), Objective("cost", "minimize"))


def test_a_file_needs_no_more_than_a_name_a_parameter_and_an_objective(document):
    least = {key: document[key] for key in ("campaign", "parameters", "objectives")}

    settings = check_campaign(least)

    assert settings.workers == ()
    assert settings.budget.most_started() is None
    assert settings.planner.strategy == "bayesian"
    assert settings.planner.look_ahead == "auto"
    assert settings.planner.when_late == "wait"


@pytest.mark.parametrize(
    ("experiments", "expected"),
    [(None, 8), (100, 8), (16, 8), (10, 5), (2, 1), (1, 1)],
)
def test_without_n_the_initial_design_is_twice_the_parameters_but_at_most_half_the_budget(
    document, experiments, expected
):
    document["planner"] = {}
    document["budget"] = {} if experiments is None else {"experiments": experiments}

    assert check_campaign(document).n_initial() == expected


def test_without_n_one_parameter_still_has_three_initial_experiments(document):
    document["parameters"], document["constraints"] = document["parameters"][:1], []
    document["planner"] = {}

    assert check_campaign(document).n_initial() == 3


def test_given_points_are_the_initial_design(document):
    point = {"temperature": 350, "time": 3, "loading": 1, "solvent": "THF"}
    document["planner"]["initial"] = {"method": "points", "points": [point, {**point, "time": 30}]}

    assert check_campaign(document).n_initial() == 2


def test_twice_the_experiments_may_be_started_unless_the_file_says_otherwise():
    assert BudgetSettings(experiments=20).most_started() == 40
    assert BudgetSettings(experiments=20, max_started=25).most_started() == 25
    assert BudgetSettings(hours=1.0).most_started() is None


def test_workers_are_numbered_from_one():
    workers = WorkerSettings(name="reactor", count=3, driver="my_lab:reaction")

    assert workers.worker_names() == ("reactor-1", "reactor-2", "reactor-3")


def test_the_ledger_lies_in_the_folder_unless_the_file_names_a_disk(document, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    folder = Path("/share/amide")
    assert check_campaign(document).ledger_path(folder) == folder / "campaign.db"

    document["campaign"]["ledger"] = "~/amide.db"

    assert check_campaign(document).ledger_path(folder) == Path("/home/ada/amide.db")


def test_the_study_survives_json_and_tells_the_space_the_goals_and_the_constraints(document):
    study = check_campaign(document).study()

    assert json.loads(json.dumps(study)) == study
    assert study["parameters"][0] == {"name": "temperature", "type": "continuous", "bounds": [300, 400], "log": False}
    assert study["objectives"] == [{"name": "yield", "goal": "maximize"}]
    assert study["constraints"] == [{"terms": {"temperature": 1, "time": 2}, "at_most": 450}]


def test_the_study_changes_with_a_bound_but_not_with_how_the_study_is_run(document):
    before = check_campaign(document).study()

    document["budget"] = {"hours": 3}
    document["parameters"][0]["description"] = "Temperature of the oil bath"
    document["parameters"][2]["values"].reverse()
    document["workers"] = []
    document["parameters"][1]["fixed"] = 3
    document["parameters"][3] |= {"context": True, "descriptors": {"DMF": [1], "THF": [2]}}
    assert check_campaign(document).study() == before

    document["parameters"][0]["bounds"] = [300, 401]
    assert check_campaign(document).study() != before


def test_settings_never_change_once_made(document):
    settings = check_campaign(document)

    with pytest.raises(ValidationError, match="frozen"):
        settings.budget.experiments = 30


def test_reading_a_file_loads_neither_numpy_nor_torch(write, text):
    folder = write(text)
    script = (
        "import sys, pathlib\n"
        "from alchemy_async.config import load_campaign\n"
        "load_campaign(pathlib.Path(sys.argv[1]))\n"
        "print(sorted({'numpy', 'scipy', 'torch', 'olympus'} & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_device_is_a_keyword_of_the_planner_and_none_is_none(document):
    document["planner"]["options"] = {"noise": "none"}
    without = check_campaign(document).planner.keywords()
    document["planner"]["device"] = "cpu"

    assert without == {"noise": "none"}
    assert check_campaign(document).planner.keywords() == {"device": "cpu", "noise": "none"}
