import math

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.errors import SettingsError

GONE = object()


def mistakes_of(document):
    with pytest.raises(SettingsError) as caught:
        check_campaign(document)
    return caught.value.mistakes


def change(document, path, value):
    *steps, last = path
    place = document
    for step in steps:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value


P, O, C, W = ("parameters", 0), ("objectives", 0), ("constraints", 0), ("workers", 0)  # noqa: E741  a row of shorthands
LOADING, SOLVENT = ("parameters", 2), ("parameters", 3)
INITIAL = ("planner", "initial")
POINT = {"temperature": 350, "time": 3, "loading": 1, "solvent": "THF"}


def listed(*points, **more):
    return {"method": "points", "points": list(points), **more}


@pytest.mark.parametrize(
    ("at", "value", "path", "message"),
    [
        # texts, names, ids
        (("campaign",), GONE, "campaign", r"is missing\. Add a section .* `\[campaign\]`"),
        (("campaign", "name"), GONE, "campaign.name", r'is missing\. Add for example `name = "amide-coupling"`'),
        (("campaign", "name"), "amide coupling", "campaign.name", r'such as "amide-coupling"'),
        (("campaign", "name"), "a" * 56, "campaign.name", "Write 1 to 55"),
        (("campaign", "name"), 7, "campaign.name", r"is 7, but must be a text, in quotes"),
        (("campaign", "ledger"), "~nobody-at-all/x.db", "campaign.ledger", "Write the whole path"),
        ((*SOLVENT, "name"), "", "parameters[3].name", "Begin it with a letter"),
        ((*SOLVENT, "name"), "2nd", "parameters[3].name", "Begin it with a letter"),
        ((*O, "unit"), "a\nb", "objectives[0].unit", "Leave out line breaks"),
        # unknown keys
        (("budgets",), {}, "budgets", "Did you mean `budget`?"),
        ((*P, "units"), "K", "parameters[0].units", r"is not a setting\. Did you mean `unit`\?"),
        ((*P, "values"), [1, 2], "parameters[0].values", r"Leave it out; the settings here are name, type.* bounds"),
        ((*INITIAL, "wiat"), True, "planner.initial.wiat", "Did you mean `wait`?"),
        (("[key]",), [], '"[key]"', "is not a setting"),
        ((*C, "terms", "\ud800"), 1.0, r'constraints[0].terms."\ud800"', "is not a parameter"),
        ((*W, "a.b"), True, r'workers[0]."a.b"', "is not a setting"),
        # parameters
        (("parameters",), [], "parameters", r"is empty\. Give at least one"),
        (LOADING, 5, "parameters[2]", r"is 5, but must be a table"),
        ((*P, "type"), "continous", "parameters[0].type", r'Write `type = "continuous"`'),
        ((*SOLVENT, "type"), GONE, "parameters[3].type", r'is missing\. Write `type = "categorical"`'),
        ((*LOADING, "type"), ["discrete"], "parameters[2].type", r'Write `type = "discrete"`'),
        ((*P, "bounds"), GONE, "parameters[0].bounds", r"is missing\. Add for example `bounds = \[300, 400\]`"),
        ((*P, "bounds"), [300], "parameters[0].bounds", r"list of 1, but must be two numbers"),
        ((*P, "bounds"), "300-400", "parameters[0].bounds", r"must be two numbers, the lowest and the highest"),
        ((*P, "bounds"), [400, 300], "parameters[0].bounds", r"Write `bounds = \[300, 400\]`"),
        ((*P, "bounds"), [300, 300], "parameters[0].bounds", r"Widen the bounds"),
        ((*P, "bounds"), ["300", 400], "parameters[0].bounds[0]", r'is "300", but must be a number, without quotes'),
        ((*P, "bounds"), [300, math.inf], "parameters[0].bounds[1]", r"finite"),
        (("parameters", 1, "bounds"), [1, 40.5], "parameters[1].bounds[1]", r"is 40.5, but must be a whole number"),
        ((*P, "log"), 1, "parameters[0].log", r"must be true or false"),
        (("parameters", 1), {"name": "time", "type": "integer", "bounds": [0, 9], "log": True}, "parameters[1].log",
         r"Raise the lower bound 0 above 0"),
        (LOADING, {"name": "dose", "type": "discrete", "values": [1, 0, 5], "log": True}, "parameters[2].log",
         r"Leave out 0 \(the least value"),
        ((*LOADING, "values"), [1.0], "parameters[2].values", r"one value only\. Give at least two"),
        ((*LOADING, "values"), [1, 2, 1.0], "parameters[2].values", r"has 1 twice\. Leave one of the two out"),
        ((*SOLVENT, "options"), [], "parameters[3].options", r"no value\. Give at least two"),
        ((*SOLVENT, "options"), ["DMF", "DMF"], "parameters[3].options", r'has "DMF" twice'),
        ((*SOLVENT, "options"), [1, "DMF"], "parameters[3].options[0]", r"must be a text, in quotes"),
        ((*P, "fixed"), 500, "parameters[0].fixed", r"is 500, which does not fit\. Give a number from 300 to 400"),
        ((*P, "fixed"), [300], "parameters[0].fixed", r"is a list, but must be a number or a text"),
        (("parameters", 1, "fixed"), 2.5, "parameters[1].fixed", r"Give a whole number from 1 to 40"),
        ((*SOLVENT, "fixed"), "DMSO", "parameters[3].fixed", r"Give one of 'DMF', 'THF'"),
        ((*P, "context"), "yes", "parameters[0].context", r"must be true or false"),
        (("parameters", 1, "context"), True, "constraints[0].terms.time", r"nobody chooses\. Leave it out"),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0]}, "parameters[3].descriptors", r'lack "THF"\. Describe every option'),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0], "THF": [2.0], "DMSO": [3.0]}, "parameters[3].descriptors",
         r'describe "DMSO", which is no option\. The options are "DMF", "THF"'),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0], "THF": [2.0, 3.0]}, "parameters[3].descriptors",
         r'give "THF" 2 and "DMF" 1 numbers\. Give each option the same ones'),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0], "THF": [1.0]}, "parameters[3].descriptors",
         r'the same for "DMF" and "THF"\. Add a number'),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0], "THF": ["x"]}, "parameters[3].descriptors.THF[0]", "be a number"),
        ((*SOLVENT, "descriptors"), {"DMF": [1.0], "THF": []}, "parameters[3].descriptors.THF", "is empty"),
        # names that clash
        ((*SOLVENT, "name"), "Temperature", "parameters[3].name", "same name as parameters\\[0\\]"),
        ((*SOLVENT, "name"), "YIELD", "objectives[0].name", "same name as parameters\\[3\\]"),
        ((*SOLVENT, "name"), "worker", "parameters[3].name", "column of every export"),
        ((*SOLVENT, "name"), "yield_sem", "parameters[3].name", "standard error of yield"),
        ((*SOLVENT, "name"), "context", "parameters[3].name", "Choose another name"),
        # objectives
        (("objectives",), GONE, "objectives", r"begins with the line `\[\[objectives\]\]`"),
        ((*O, "goal"), "maximise", "objectives[0].goal", "Did you mean `maximize`?"),
        ((*O, "goal"), "up", "objectives[0].goal", '"maximize", "target" or "limit"'),
        ((*O, "goal"), "target", "objectives[0].target", "Add the value to match"),
        ((*O, "target"), 80, "objectives[0].target", 'is given, but the goal is "maximize". Write `goal = "target"`'),
        ((*O, "goal"), "limit", "objectives[0]", "Add `at_least`, `at_most` or both"),
        ((*O, "at_most"), "50", "objectives[0].at_most", 'is "50", but must be a number'),
        (O, {"name": "yield", "goal": "maximize", "at_least": 50, "at_most": 50}, "objectives[0].at_most",
         "`at_least` is 50. Let `at_most` be the larger one"),
        (O, {"name": "pH", "goal": "target", "target": 7.4, "at_most": 7}, "objectives[0]", "Let the limits include"),
        (O, {"name": "pH", "goal": "target", "target": 7.4, "reference": 7}, "objectives[0].reference", "Leave it out"),
        (O, {"name": "cost", "goal": "limit", "at_most": 7}, "objectives", "Give one of them another goal"),
        # constraints
        ((*C, "at_most"), GONE, "constraints[0]", "Add one of `at_most`"),
        ((*C, "at_most"), "450", "constraints[0].at_most", 'is "450", but must be a number'),
        ((*C, "at_least"), 1, "constraints[0]", "at_most and at_least. Write a constraint of its own"),
        ((*C, "terms"), {}, "constraints[0].terms", "Give at least one"),
        ((*C, "terms"), {"temperature": 0.0}, "constraints[0].terms", "Leave it out of the terms"),
        ((*C, "terms"), {"temperatur": 1.0}, "constraints[0].terms.temperatur", "Did you mean `temperature`?"),
        ((*C, "terms"), {"pH": 1.0}, "constraints[0].terms.pH", "The parameters are temperature, time, loading"),
        ((*C, "terms"), {"solvent": 1.0}, "constraints[0].terms.solvent", "is categorical"),
        ((*C, "terms"), {"time": "x"}, "constraints[0].terms.time", "must be a number"),
        ((*C, "at_most"), 200, "constraints[0].at_most", "the sum goes from 302 to 480"),
        (("constraints", 0), {"terms": {"time": -1}, "at_least": 0}, "constraints[0].at_least", "from -40 to -1"),
        (("constraints", 0), {"terms": {"loading": 1}, "equals": 6}, "constraints[0].equals", "from 0.5 to 5"),
        ((*C, "terms"), GONE, "constraints[0].terms", r'is missing\. Add for example .* or `function = "my_lab:is_pos'),
        ((*C, "function"), "my_lab:is_possible", "constraints[0].terms", "beside a function. Write a constraint of"),
        (C, {"function": "my_lab.py"}, "constraints[0].function", r'Write `function = "my_lab:is_possible"`'),
        (C, {"function": 7}, "constraints[0].function", r"is 7, but must be a text"),
        (C, {"function": "my_lab:f", "at_most": 3}, "constraints[0]", r"a bound\. Leave `at_most` out: the function"),
        # budget
        (("budget", "experiments"), 0, "budget.experiments", "must be at least 1"),
        (("budget", "experiments"), 20.0, "budget.experiments", r"is 20\.0, but must be a whole number"),
        (("budget", "hours"), -1, "budget.hours", "must be more than 0"),
        (("budget", "max_started"), 19, "budget.max_started", "at least `max_started = 20`"),
        # planner
        (("planner", "strategy"), "baysian", "planner.strategy", 'Did you mean "bayesian"?'),
        (("planner", "seed"), -1, "planner.seed", "must be at least 0"),
        (("planner", "look_ahead"), -1, "planner.look_ahead", 'Write `look_ahead = "auto"`'),
        (("planner", "look_ahead"), True, "planner.look_ahead", "whole number from 0"),
        (("planner", "when_late"), "waits", "planner.when_late", "Did you mean `wait`?"),
        ((*INITIAL, "method"), "soboll", "planner.initial.method", "Did you mean `sobol`?"),
        ((*INITIAL, "n"), 21, "planner.initial.n", "the budget has 20. Ask for fewer"),
        (INITIAL, {"method": "points"}, "planner.initial.points", "Give the points"),
        (INITIAL, {"points": [POINT]}, "planner.initial.points", 'Write `method = "points"`'),
        (INITIAL, listed(POINT, n=2), "planner.initial.points", "Leave n out"),
        (INITIAL, listed({**POINT, "time": 41}), "planner.initial.points[0].time", "whole number from 1 to 40"),
        (INITIAL, listed({**POINT, "pH": 7}), "planner.initial.points[0].pH", "is not a parameter"),
        (INITIAL, listed({**POINT, "time": None}), "planner.initial.points[0].time", "a number or a text"),
        (INITIAL, listed({**POINT, "temperature": 400, "time": 40}), "planner.initial.points[0]", "at most 450 is not"),
        (INITIAL, listed(POINT, POINT), "planner.initial.points[1]", "copy of an earlier point"),
        # workers
        ((*W, "name"), "reac tor", "workers[0].name", 'such as "reac-tor"'),
        ((*W, "count"), 0, "workers[0].count", "at least 1"),
        ((*W, "driver"), GONE, "workers[0].driver", 'Add for example `driver = "my_lab:reaction"`'),
        ((*W, "driver"), "my_lab.py", "workers[0].driver", "function `reaction` in my_lab.py"),
        ((*W, "labels"), "hplc", "workers[0].labels", r'Write for example `labels = \["hplc"\]`'),
        ((*W, "timeout_s"), 0, "workers[0].timeout_s", "more than 0"),
        ((*W, "instrument"), "furnace", "workers[0].instrument", "Write `count = 1`"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_alone_with_its_place_and_its_mend(document, at, value, path, message):
    change(document, at, value)

    (mistake,) = mistakes_of(document)

    assert mistake.path == path
    with pytest.raises(SettingsError, match=message):
        check_campaign(document)


def test_brackets_that_are_too_few_or_too_many_are_told_and_what_they_hold_is_checked_all_the_same(document):
    document["objectives"] = {"name": "yield", "goal": "up"}
    document["budget"] = [{"experiments": 0}]

    mistakes = {mistake.path: mistake.mend for mistake in mistakes_of(document)}

    assert mistakes.keys() == {"objectives", "objectives[0].goal", "budget", "budget.experiments"}
    assert "`[[objectives]]`" in mistakes["objectives"]
    assert "`[budget]`" in mistakes["budget"]


def test_two_groups_of_workers_with_one_name_or_one_instrument_are_told(document):
    one = {"name": "reactor", "driver": "my_lab:reaction", "instrument": "furnace"}
    document["workers"] = [one, {**one, "name": "Reactor", "instrument": "Furnace"}]

    assert [mistake.path for mistake in mistakes_of(document)] == ["workers[1].name", "workers[1].instrument"]


def test_no_name_in_the_file_reaches_the_terminal_unescaped(document):
    document["parameters"][0]["name"] = "temp\x1b[2J"
    document["parameters"][3]["name"] = "\x1b]0;_sem"
    document["objectives"][0]["name"] = "\x1b]0;"
    document["constraints"][0]["terms"] = {"temp": 1, "\x1bb": 0}

    told = "".join(str(mistake) for mistake in mistakes_of(document))

    assert told.isprintable()


def test_a_target_of_several_objectives_is_told(document):
    document["objectives"].append({"name": "cost", "goal": "minimize"})
    document["budget"]["target"] = 95.0

    (mistake,) = mistakes_of(document)

    assert mistake.path == "budget.target"


def test_a_budget_of_more_experiments_than_there_are_points_is_told(document):
    document["parameters"] = document["parameters"][2:]
    document["constraints"] = []

    (mistake,) = mistakes_of(document)

    assert (mistake.path, mistake.mend) == (
        "budget.experiments",
        "Write at most 6, allow more values, or raise `planner.replicates`, now 1.",
    )


def test_a_grid_that_is_too_large_to_list_is_told_even_where_n_is_left_out(document):
    document["parameters"] = [{"name": f"x{i}", "type": "continuous", "bounds": [0, 1]} for i in range(20)]
    document["constraints"] = []
    document["planner"] = {"initial": {"method": "grid"}}

    (mistake,) = mistakes_of(document)

    assert (mistake.path, mistake.mend) == ("planner.initial.method", 'Write `method = "sobol"` or `"lhs"`.')


def test_no_class_of_mistake_hides_another(document):
    document["campaign"] = {"nmae": "x"}
    document["parameters"][0] |= {"type": "continous", "bounds": [400, 300], "unit": 5, "log": "yes"}
    document["parameters"][1]["name"] = "Loading"
    document["constraints"][0]["terms"]["tme"] = 1
    document["budget"]["hours"] = "twelve"
    document["planner"]["initial"] = {"methd": "lhs", "n": 99}
    document["workers"].append({"name": "reactor", "driver": "nothing"})

    assert [mistake.path for mistake in mistakes_of(document)] == [
        "campaign.name",
        "campaign.nmae",
        "parameters[0].type",
        "parameters[0].unit",
        "parameters[0].bounds",
        "parameters[0].log",
        "parameters[2].name",
        "constraints[0].terms.time",
        "constraints[0].terms.tme",
        "budget.hours",
        "planner.initial.methd",
        "planner.initial.n",
        "workers[1].driver",
        "workers[1].name",
    ]


def test_a_point_is_judged_by_the_parameters_that_are_right_although_another_is_wrong(document):
    document["parameters"][0]["bounds"] = "wide"
    document["planner"]["initial"] = listed({**POINT, "time": 41})

    assert [mistake.path for mistake in mistakes_of(document)] == [
        "parameters[0].bounds",
        "planner.initial.points[0].time",
    ]


def test_the_message_counts_the_mistakes_and_gives_each_a_line(document):
    document["campaign"]["name"] = ""
    document["budget"]["hours"] = -1

    with pytest.raises(
        SettingsError, match=r"\Acampaign\.toml has 2 mistakes:\n  campaign\.name: .*\n  budget\.hours: "
    ):
        check_campaign(document)


def test_a_parameter_that_is_both_fixed_and_a_reading_is_told(document):
    document["parameters"][3] |= {"fixed": "THF", "context": True}

    (mistake,) = mistakes_of(document)

    assert (mistake.path, "Leave one of the two out" in mistake.mend) == ("parameters[3].context", True)


def test_a_campaign_in_which_nothing_is_left_to_choose_is_told(document):
    for parameter, value in zip(document["parameters"], [350, 3, 0.5, "THF"], strict=True):
        parameter["fixed"] = value
    document["budget"] = {}

    (mistake,) = mistakes_of(document)

    assert (mistake.path, mistake.mend) == ("parameters", "Take `fixed` or `context` out of one of them.")


def test_a_constraint_that_no_point_meets_at_what_is_fixed_is_told(document):
    document["parameters"][0]["fixed"] = 400
    document["constraints"][0]["at_most"] = 401

    (mistake,) = mistakes_of(document)

    assert mistake.path == "constraints[0].at_most"
    assert "the sum goes from 402 to 480" in mistake.what


def test_a_fixed_parameter_does_not_count_where_points_are_counted(document):
    document["parameters"] = [document["parameters"][2], {**document["parameters"][3], "fixed": "DMF"}]
    document["constraints"] = []

    (mistake,) = mistakes_of(document)

    assert (mistake.path, mistake.mend) == (
        "budget.experiments",
        "Write at most 3, allow more values, or raise `planner.replicates`, now 1.",
    )
