"""The 23 surfaces of Olympus as instruments."""

import math
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest

from alchemy_async.drivers import Context
from alchemy_async.drivers.load import load_driver
from alchemy_async.drivers.surfaces import SURFACES, load_surface, olympus_folder
from alchemy_async.errors import DriverError, LimitError, StoppedError

BRANIN_MINIMUM = 0.397887


@pytest.fixture
def context(tmp_path):
    return Context("e1", 1, "w-1", tmp_path, objectives=("value",))


def load(tmp_path, surface, **options):
    return load_driver(f"olympus:{surface}", options, tmp_path)


def test_every_surface_has_a_finite_value_on_the_unit_square(tmp_path, context):
    values = {name: load(tmp_path, name).measure({"a": 0.31, "b": 0.73}, context) for name in SURFACES}

    assert len(values) == 23
    assert all(type(value) is float and math.isfinite(value) for value in values.values()), values
    assert len(set(values.values())) > 15


def test_the_surfaces_are_those_that_olympus_has():
    folders = (olympus_folder() / "surfaces").glob("surface_*")

    assert {folder.name.removeprefix("surface_").title().replace("_", "") for folder in folders} == set(SURFACES)


@pytest.mark.parametrize("x0", [-math.pi, math.pi, 9.42478])
def test_branin_has_its_known_minimum_three_times_in_physical_units(tmp_path, context, x0):
    x1 = {-math.pi: 12.275, math.pi: 2.275}.get(x0, 2.475)

    value = load(tmp_path, "Branin", domain="physical").measure({"x": x0, "y": x1}, context)

    assert value == pytest.approx(BRANIN_MINIMUM, abs=1e-5)


def test_unit_and_physical_domain_are_the_same_surface(tmp_path, context):
    unit = load(tmp_path, "Branin").measure({"x": 0.2, "y": 0.4}, context)
    physical = load(tmp_path, "Branin", domain="physical").measure({"x": -2.0, "y": 6.0}, context)

    assert unit == pytest.approx(physical)


@pytest.mark.parametrize(
    ("surface", "point", "minimum"),
    [
        ("AckleyPath", (0, 0, 0), 0.0),
        ("Rastrigin", (0, 0, 0), 0.0),
        ("Rosenbrock", (1, 1, 1), 0.0),
        ("Levy", (1, 1), 0.0),
        ("Zakharov", (0, 0, 0), 0.0),
        ("StyblinskiTang", (-2.903534, -2.903534), -78.332331),
        ("Schwefel", (420.9687, 420.9687), -837.965774),
        ("Michalewicz", (2.202906, 1.570796), -1.801303),
        ("HyperEllipsoid", (0, 0, 0, 0), 0.0),
        ("Dejong", (0, 0), 0.0),
    ],
)
def test_physical_bounds_put_the_known_minimum_where_the_literature_has_it(tmp_path, context, surface, point, minimum):
    parameters = {f"x{i}": float(x) for i, x in enumerate(point)}

    assert load(tmp_path, surface, domain="physical").measure(parameters, context) == pytest.approx(minimum, abs=1e-5)


def test_parameters_are_taken_in_the_order_of_the_campaign_or_as_told(tmp_path, context):
    point = {"b": 0.1, "a": 0.9}

    as_given = load(tmp_path, "Branin").measure(point, context)
    told = load(tmp_path, "Branin", parameters=["a", "b"]).measure(point, context)

    assert as_given == load(tmp_path, "Branin").measure({"x": 0.1, "y": 0.9}, context)
    assert told == load(tmp_path, "Branin").measure({"x": 0.9, "y": 0.1}, context)


def test_a_point_outside_the_bounds_is_refused_before_it_is_measured(tmp_path):
    driver = load(tmp_path, "Branin")

    driver.check({"x": 0.0, "y": 1.0})
    with pytest.raises(LimitError, match=r"y = 6 is outside 0 to 1.*option `domain`"):
        driver.check({"x": 0.5, "y": 6.0})


@pytest.mark.parametrize(
    ("surface", "point", "match"),
    [
        ("Branin", {"x": 0.5}, r"Branin has 2 parameters and was given 1: x. Change"),
        ("Branin", {"x": 0.5, "y": 0.5, "z": 0.5}, r"Branin has 2 parameters and was given 3"),
        ("Rosenbrock", {"x": 0.5}, r"at least 2 parameters"),
        ("Branin", {"x": 0.5, "y": "THF"}, r"y = 'THF' is no number.*Make it continuous"),
    ],
)
def test_parameters_that_a_surface_cannot_have_are_told(tmp_path, context, surface, point, match):
    with pytest.raises(DriverError, match=match):
        load(tmp_path, surface).measure(point, context)


@pytest.mark.parametrize(
    ("surface", "options", "match"),
    [
        ("branin", {}, "no surface 'branin'. Name one of its own: Branin"),
        ("Mountain", {}, "Name one of its own"),
        ("Branin", {"domain": "si"}, 'neither "unit" nor "physical"'),
        ("Denali", {"domain": "physical"}, r'unit square alone. Write domain = "unit"'),
        ("Branin", {"noise": -1.0}, "Give a number, 0 or larger"),
        ("Branin", {"durations": [5]}, r"durations = \[5, 30\]"),
        ("Branin", {"durations": [30, 5]}, "shortest and the longest"),
        ("Branin", {"durations": "long"}, "shortest and the longest"),
    ],
)
def test_wrong_options_are_told_without_importing_olympus(tmp_path, surface, options, match):
    with pytest.raises(DriverError, match=match):
        load(tmp_path, surface, **options)


def test_a_parameter_that_the_campaign_lacks_is_told(tmp_path, context):
    with pytest.raises(DriverError, match=r"no parameter 'z'; it has x, y. Mend `parameters`"):
        load(tmp_path, "Branin", parameters=["x", "z"]).measure({"x": 0.5, "y": 0.5}, context)


def test_noise_is_reported_as_the_standard_error_and_scatters_by_it(tmp_path):
    driver = load(tmp_path, "Branin", noise=0.5, seed=1)
    exact = load(tmp_path, "Branin").measure({"x": 0.5, "y": 0.5}, Context("e", 1, "w", tmp_path))

    measured = [
        driver.measure({"x": 0.5, "y": 0.5}, Context(f"e{i}", 1, "w", tmp_path, objectives=("loss",)))
        for i in range(400)
    ]

    values = np.array([observation.values["loss"] for observation in measured])
    assert all(observation.sems == {"loss": 0.5} for observation in measured)
    assert values.mean() == pytest.approx(exact, abs=0.1)
    assert values.std() == pytest.approx(0.5, rel=0.15)


def test_with_a_seed_noise_and_duration_belong_to_the_attempt(tmp_path):
    def measured(experiment, seed):
        waited = []

        class Watched(Context):
            def sleep(self, seconds):
                waited.append(seconds)

        driver = load(tmp_path, "Branin", noise=0.5, seed=seed, durations=[5, 30])
        context = Watched(experiment, 1, "w", tmp_path, objectives=("y",))
        return driver.measure({"x": 0.5, "y": 0.5}, context).values["y"], waited[0]

    assert measured("e1", seed=1) == measured("e1", seed=1)
    assert len({measured(experiment, seed) for experiment in ("e1", "e2") for seed in (1, 2, None)}) == 6
    assert all(5 <= measured(f"e{i}", seed=None)[1] <= 30 for i in range(20))


def test_a_measurement_that_takes_time_ends_when_it_is_asked_to(tmp_path):
    stopping = threading.Event()
    stopping.set()
    context = Context("e1", 1, "w", tmp_path, stopping)

    with pytest.raises(StoppedError):
        load(tmp_path, "Branin", durations=[3600, 3600]).measure({"x": 0.5, "y": 0.5}, context)


def test_importing_a_surface_leaves_no_trace_of_olympus(capfd):
    before = {name for name in sys.modules if name.startswith("olympus")}
    state = np.random.get_state()[1].copy()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_surface("Denali")(2)([0.5, 0.5])

    assert {name for name in sys.modules if name.startswith("olympus")} == before
    assert (np.random.get_state()[1] == state).all()
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_measures_a_surface_loads_neither_all_of_olympus_nor_torch(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from alchemy_async.drivers import Context
        from alchemy_async.drivers.load import load_driver

        driver = load_driver("olympus:Branin", {}, Path())
        assert "numpy" not in sys.modules
        driver.connect()
        driver.measure({"x": 0.5, "y": 0.5}, Context("e1", 1, "w", Path()))
        heavy = {"torch", "scipy", "sklearn", "pandas", "pydantic", "olympus"} & set(sys.modules)
        print(sorted(heavy))
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_process_measures_the_same_random_mixture(tmp_path, context):
    values = {load(tmp_path, "GaussianMixture").measure({"x": 0.3, "y": 0.6}, context) for _ in range(3)}

    assert len(values) == 1


def test_all_of_olympus_can_still_be_imported_beside_the_driver(tmp_path):
    script = """
        import os, tempfile
        os.environ["OLYMPUS_SCRATCH"] = tempfile.mkdtemp()
        from alchemy_async.drivers.surfaces import load_surface
        first = load_surface("Branin")(2)([0.5, 0.5])
        import olympus
        second = load_surface("Branin")(2)([0.5, 0.5])
        assert first == second == float(olympus.Surface("Branin").run([0.5, 0.5])[0][0])
        print("DONE")
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)

    assert "DONE" in done.stdout, done.stderr
