import pytest

from alchemy_async.config import check_campaign, load_campaign
from alchemy_async.errors import SettingsError

TIME = {"name": "time", "type": "integer", "bounds": [1, 40], "unit": "min"}
LEVELS = {"name": "level", "type": "discrete", "values": [60.0, 5.0, 15.0]}


@pytest.fixture
def check(document):
    """Check the file with its integer parameter replaced, and anything else changed."""

    def check(parameter, **sections):
        document["parameters"][1] = parameter
        return check_campaign({**document, "constraints": [], **sections})

    return check


@pytest.fixture
def mistakes(check):
    """Return the mistakes in words, of the file with its integer parameter replaced."""

    def mistakes(parameter, **sections):
        with pytest.raises(SettingsError) as caught:
            check(parameter, **sections)
        return [f"{one.path} {one.what}. {one.mend}" for one in caught.value.mistakes]

    return mistakes


def test_costs_are_those_of_the_values_in_the_order_of_the_file(check):
    fidelity = check({**LEVELS, "fidelity": 60, "costs": [10, 1, 3]}).as_fidelity()

    assert (fidelity.name, fidelity.target) == ("level", 60)
    assert [fidelity.cost(value) for value in (5, 15, 60)] == [1, 3, 10]


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [
        ({**TIME, "costs": [1, 40]}, {1: 1, 2: 2, 40: 40}),
        ({**TIME, "bounds": [1, 3], "costs": [1, 5, 6]}, {1: 1, 2: 5, 3: 6}),
        ({**TIME, "type": "continuous", "costs": [2, 4.0]}, {1: 2, 20.5: 3, 40: 4}),
    ],
    ids=["integer by its ends", "integer by its values", "continuous"],
)
def test_two_costs_are_those_of_the_bounds_and_of_an_integer_there_may_be_one_for_each_value(check, parameter, wanted):
    fidelity = check({**parameter, "fidelity": parameter["bounds"][1]}).as_fidelity()

    assert {value: fidelity.cost(value) for value in wanted} == pytest.approx(wanted)


def test_the_space_knows_the_fidelity_and_what_was_measured_stays_the_same_study(check):
    plain, with_one = check(LEVELS), check({**LEVELS, "fidelity": 60, "costs": [10, 1, 3]})

    assert plain.as_space().fidelity is None
    assert with_one.as_space().fidelity == with_one.as_fidelity()
    assert with_one.study() == plain.study()


def test_there_are_twice_as_many_initial_experiments_because_most_are_cheap(check):
    sections = {"planner": {}, "budget": {"experiments": 100}}

    assert check(LEVELS, **sections).n_initial() == 8
    assert check({**LEVELS, "fidelity": 60, "costs": [10, 1, 3]}, **sections).n_initial() == 16


GOOD = {**LEVELS, "fidelity": 60, "costs": [10, 1, 3]}


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({**GOOD, "fidelity": 30}, r"parameters[1].fidelity is 30, which does not fit. Give one of 5, 15, 60."),
        ({**GOOD, "fidelity": "60"}, 'parameters[1].fidelity is "60", but must be a number, without quotes. Write'),
        ({**GOOD, "costs": [1, 2]}, "parameters[1].costs list 2, but must list 3. Say what an experiment costs,"),
        ({**GOOD, "costs": []}, "parameters[1].costs is empty. Give at least one."),
        ({**GOOD, "costs": [10, 0, 3]}, "parameters[1].costs[1] is 0, but must be more than 0. Write for example"),
        ({**LEVELS, "fidelity": 60}, "parameters[1].costs are missing, but there is a fidelity. Say what"),
        ({**LEVELS, "costs": [10, 1, 3]}, "parameters[1].costs are given, but there is no fidelity. Add the value"),
        ({**TIME, "fidelity": 40, "costs": [1]}, "costs list 1, but must list 2 or 40. Say what an experiment"),
        ({**GOOD, "context": True}, "fidelity is given, but the parameter is context. Leave one of the two out"),
        ({**GOOD, "shared": True}, "fidelity is given, but the parameter is shared. Leave one of the two out"),
        ({**GOOD, "fixed": 5}, "fidelity is 60, but the parameter is fixed at 5. Fix it at the same value"),
    ],
)  # fmt: skip
def test_a_fidelity_that_can_t_be_is_told_once_with_how_to_mend_it(mistakes, parameter, message):
    (told,) = mistakes(parameter)

    assert message in told


def test_a_categorical_parameter_has_no_fidelity(mistakes):
    solvent = {"name": "grade", "type": "categorical", "options": ["a", "b"], "fidelity": 1}

    assert any("parameters[1].fidelity is not a setting" in told for told in mistakes(solvent))


def test_it_may_be_fixed_at_the_target_so_that_nothing_cheap_is_run_any_more(check):
    assert check({**GOOD, "fixed": 60}).as_space().at_target.check({"temperature": 350, "loading": 1, "solvent": "THF"})


def test_one_fidelity_is_enough(document, mistakes):
    document["parameters"][2] |= {"fidelity": 1.0, "costs": [1, 2, 3]}

    assert mistakes(GOOD) == [
        "parameters[2].fidelity is given, but level is the fidelity already. Leave one of the two out."
    ]


def test_it_serves_one_objective_only(mistakes):
    yields, cost = {"name": "yield", "goal": "maximize"}, {"name": "cost", "goal": "minimize"}

    (told,) = mistakes(GOOD, objectives=[yields, cost])

    assert told.startswith("parameters[1].fidelity is given, but several objectives are to be optimised. Leave it out")


def test_an_objective_with_only_limits_may_stand_beside(check):
    limited = [{"name": "yield", "goal": "maximize"}, {"name": "cost", "goal": "limit", "at_most": 3}]

    assert check(GOOD, objectives=limited).as_fidelity()


def test_an_equation_with_the_fidelity_is_refused_and_a_bound_is_not(check, mistakes):
    terms = {"level": 1.0, "temperature": 0.1}

    (told,) = mistakes(GOOD, constraints=[{"terms": terms, "equals": 60}])

    assert told.startswith("constraints[0].terms has level, the fidelity, so that no point could be run at two values")
    assert check(GOOD, constraints=[{"terms": terms, "at_most": 99}])


def test_with_nothing_else_to_choose_there_is_nothing_to_learn(check, mistakes, document):
    document["parameters"][:] = [{"name": "x", "type": "continuous", "bounds": [0, 1], "fixed": 0.5}, GOOD]

    assert "there is no other parameter to choose. Leave it out" in mistakes(GOOD)[0]


def test_it_is_written_in_campaign_toml(text, write):
    added = text.replace("bounds = [1, 40]\n", "bounds = [1, 40]\nfidelity = 40\ncosts = [1, 10]\n")

    assert load_campaign(write(added)).as_fidelity().target == 40
