import pickle
import subprocess
import sys

import pytest

from alchemy_async.errors import PointError, RuleError
from alchemy_async.space import Categorical, Continuous, Integer, LinearConstraint, Rule, Space

PARAMETERS = (
    Continuous("temperature", low=300, high=400),
    Integer("stages", low=1, high=4),
    Categorical("solvent", options=("water", "toluene")),
)
POINT = {"temperature": 350.0, "stages": 2, "solvent": "water"}


@pytest.fixture
def space(tmp_path):
    """Write a module with a function and return the space in which it is a rule."""

    def make(source, name="is_possible", module="my_rules"):
        (tmp_path / f"{module}.py").write_text(source)
        return Space(PARAMETERS, (), (Rule(f"{module}:{name}", str(tmp_path)),))

    yield make
    sys.modules.pop("my_rules", None)


def test_a_function_is_given_the_parameters_that_it_names_in_their_own_types(space):
    ruled = space(
        "def is_possible(stages, solvent):\n    return type(stages) is int and (solvent, stages) == ('water', 2)"
    )

    assert ruled.is_feasible(POINT)
    assert not ruled.is_feasible({**POINT, "stages": 3})


def test_a_function_with_open_keywords_is_given_all_of_them(space):
    ruled = space("def is_possible(**point):\n    return sorted(point) == ['solvent', 'stages', 'temperature']")

    assert ruled.is_feasible(POINT)


def test_a_point_that_a_rule_forbids_is_refused_with_the_name_of_the_function(space):
    ruled = space("def is_possible(solvent):\n    return solvent != 'water'")

    with pytest.raises(PointError, match="my_rules:is_possible says that this point is not possible"):
        ruled.check(POINT)


def test_parameters_as_run_are_taken_whatever_a_rule_says(space):
    ruled = space("def is_possible(solvent):\n    return False")

    assert ruled.check_as_run(POINT) == POINT


def test_a_rule_is_not_asked_about_a_point_that_breaks_a_constraint(space):
    ruled = space("def is_possible(temperature):\n    raise RuntimeError('never ask me')")
    bound = LinearConstraint((("temperature", 1.0),), "at_most", 320.0)

    assert not Space(ruled.parameters, (bound,), ruled.rules).is_feasible(POINT)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "def is_possible(stages):\n    return 1 / (stages - 2) > 0",
            r"failed at stages = 2: ZeroDivisionError: .*Mend it",
        ),
        ("def is_possible(stages):\n    stages > 1", r"answered None at stages = 2\. Let it return True"),
        (
            "def is_possible(stagse):\n    return True",
            r"an argument 'stagse', which is no .*\. Did you mean 'stages'\?",
        ),
        ("def is_possible(ph, /):\n    return True", r"an argument 'ph', .* The parameters are temperature, stages"),
        ("def is_posible(stages):\n    return True", r"has no function 'is_possible'\. Did you mean 'is_posible'\?"),
        ("is_possible = 3", r"no function 'is_possible'\. Define `def is_possible"),
        ("import no_such_module", r"can't be imported: ModuleNotFoundError.*Put my_rules.py beside campaign.toml"),
        ("def is_possible(:", r"can't be imported: SyntaxError"),
    ],
    ids=["raises", "no answer", "misspelt", "unknown", "other name", "no function", "import", "syntax"],
)
def test_a_function_that_can_not_say_is_told_with_its_name_the_point_and_the_mend(space, source, told):
    ruled = space(source)

    with pytest.raises(RuleError, match=f"(?s)my_rules.*{told}"):
        ruled.is_feasible(POINT)
    with pytest.raises(PointError, match="my_rules"):
        ruled.check(POINT)


def test_a_missing_function_is_told_before_any_point_is_judged(space):
    space("def is_possible(stages):\n    return True").check_rules()

    with pytest.raises(RuleError, match="Did you mean 'is_possible'"):
        space("def is_possible(stages):\n    return True", name="is_posible").check_rules()


def test_the_same_values_are_asked_about_once(space):
    ruled = space("asked = []\ndef is_possible(stages):\n    asked.append(stages)\n    return True")

    for temperature in (310.0, 320.0, 330.0):
        ruled.is_feasible({**POINT, "temperature": temperature})

    assert sys.modules["my_rules"].asked == [2]


def test_a_module_of_the_same_name_in_another_folder_is_another_rule(tmp_path):
    verdicts = []
    for name, answer in (("one", True), ("two", False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "my_rules.py").write_text(f"def is_possible(stages):\n    return {answer}")
        verdicts.append(Space(PARAMETERS, (), (Rule("my_rules:is_possible", str(folder)),)).is_feasible(POINT))
    sys.modules.pop("my_rules")

    assert verdicts == [True, False]


def test_a_space_with_a_rule_can_be_sent_to_another_process(space, tmp_path):
    ruled = space("def is_possible(stages):\n    return stages == 2")
    assert ruled.is_feasible(POINT)
    (tmp_path / "space.pickle").write_bytes(pickle.dumps(ruled))
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).is_feasible(eval(sys.argv[2])))"

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "space.pickle", repr(POINT)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "True"


def test_python_looks_for_modules_where_it_did_before(space):
    before = list(sys.path)

    space("def is_possible(stages):\n    return True").is_feasible(POINT)

    assert sys.path == before
