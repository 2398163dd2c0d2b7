"""Tables of real measurements as instruments."""

import math
import sys
import threading

import pytest

from alchemy_async.drivers import Context
from alchemy_async.drivers.dataset import DATASETS
from alchemy_async.drivers.load import load_driver
from alchemy_async.errors import DriverError, LimitError, StoppedError
from alchemy_async.experiment import Observation

SIZES = {
    "alkox": (208, 4), "benzylation": (73, 4), "colors_bob": (241, 5), "colors_n9": (102, 3), "fullerenes": (246, 3),
    "hplc": (1386, 6), "photo_pce10": (1040, 4), "photo_wf3": (1040, 4), "snar": (66, 4), "suzuki": (247, 4),
}  # fmt: skip
SUZUKI = {"temperature": 75.0, "pd_mol": 0.5, "arbpin": 1.2, "k3po4": 1.5}

RESULTS = """\
temperature,solvent,run,yield,cost
300,THF,1,10,1
300,THF,2,20,1
400,THF,3,50,2
300,DMF,4,80,3
350,DMF,5,,4
"""


@pytest.fixture
def measure(tmp_path):
    """Measure one point."""

    def measured(name, point, objectives=("yield",), **options):
        context = Context("e1", 1, "w-1", tmp_path, objectives=objectives)
        return load_driver(f"dataset:{name}", options, tmp_path).measure(point, context)

    return measured


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results.csv").write_text(RESULTS)
    return "results.csv"


@pytest.mark.parametrize("name", DATASETS)
def test_each_shipped_dataset_is_read_whole_without_importing_olympus(tmp_path, measure, name):
    driver = load_driver(f"dataset:{name}", {}, tmp_path)

    driver.connect()

    table = driver.table()
    assert (len(table.cells), len(table.columns) - 1) == SIZES[name]
    point = {column: float(cell) for column, cell in zip(table.columns[:-1], table.cells[0][:-1], strict=True)}
    observation = measure(name, point, objectives=(table.columns[-1],), mode="exact")
    assert math.isfinite(observation.values[table.columns[-1]])
    assert observation.parameters == point
    assert "olympus" not in sys.modules


def test_the_nearest_row_is_measured_and_its_parameters_are_those_that_were_run(measure):
    observation = measure("suzuki", {"temperature": 75.9, "pd_mol": 0.6, "arbpin": 1.21, "k3po4": 1.4})

    assert observation == Observation({"yield": 4.6}, parameters=SUZUKI, metadata={"lines": [2]})


def test_each_number_counts_over_the_range_of_its_column(tmp_path, measure):
    (tmp_path / "r.csv").write_text("a,b,y\n0,0,1\n1000,0,2\n0,1,3\n")

    assert measure("r.csv", {"a": 600.0, "b": 0.9}, ("y",)).values == {"y": 3.0}
    assert measure("r.csv", {"a": 600.0, "b": 0.1}, ("y",)).values == {"y": 2.0}


def test_whole_numbers_come_back_as_int_where_int_was_asked(measure):
    ran = measure("suzuki", {**SUZUKI, "temperature": 77}).parameters

    assert ran["temperature"] == 75
    assert type(ran["temperature"]) is int


def test_an_objective_of_another_name_is_the_datasets_only_measurement(measure):
    assert measure("suzuki", SUZUKI, ("conversion",)).values == {"conversion": 4.6}


def test_a_dataset_wants_all_its_parameters(measure):
    with pytest.raises(DriverError, match=r"temperature, pd_mol, arbpin, k3po4, and the campaign has no k3po4. Add"):
        measure("suzuki", {name: value for name, value in SUZUKI.items() if name != "k3po4"})


def test_replicates_bring_their_mean_and_its_standard_error(measure, results):
    observation = measure(results, {"temperature": 310.0, "solvent": "THF"})

    assert observation.values == {"yield": 15.0}
    assert observation.sems == {"yield": pytest.approx(5.0)}
    assert observation.parameters == {"temperature": 300.0, "solvent": "THF"}
    assert observation.metadata == {"lines": [2, 3]}


def test_replicates_that_agree_claim_no_certainty(measure, results):
    assert measure(results, {"temperature": 300.0, "solvent": "THF"}, ("cost",)).sems == {}


def test_several_objectives_are_found_by_the_names_of_their_columns(measure, results):
    observation = measure(results, {"temperature": 400.0, "solvent": "THF"}, ("cost", "yield"))

    assert observation.values == {"cost": 2.0, "yield": 50.0}


def test_a_category_must_be_that_of_the_row(measure, results):
    assert measure(results, {"temperature": 399.0, "solvent": "DMF"}).values == {"yield": 80.0}
    with pytest.raises(LimitError, match=r"no row with \{'solvent': 'MeOH'\}. Take those options out"):
        measure(results, {"temperature": 399.0, "solvent": "MeOH"})


def test_a_row_without_a_measurement_is_left_out(measure, results):
    assert measure(results, {"temperature": 350.0, "solvent": "DMF"}).parameters["temperature"] == 300.0


def test_exact_refuses_a_point_that_was_not_measured_and_names_the_nearest(measure, results):
    assert measure(results, {"temperature": 400, "solvent": "THF"}, mode="exact").values == {"yield": 50.0}
    with pytest.raises(LimitError, match=r"the nearest is \{'temperature': 400.0, 'solvent': 'THF'\}. Make the"):
        measure(results, {"temperature": 390.0, "solvent": "THF"}, mode="exact")


def test_interpolation_goes_through_the_rows_and_between_them(tmp_path, measure):
    (tmp_path / "r.csv").write_text("x,y\n0,0\n1,10\n")

    def at(x):
        return measure("r.csv", {"x": x}, ("y",), mode="interpolate")

    assert at(0.0).values == {"y": 0.0}
    assert at(0.5).values == {"y": pytest.approx(5.0)}
    assert at(0.25).values == {"y": pytest.approx(10 / (1 + 9))}  # weights 1 / 0.25^2 and 1 / 0.75^2
    assert at(0.25).parameters is None


def test_interpolation_uses_the_five_nearest_points_alone(tmp_path, measure):
    (tmp_path / "r.csv").write_text("x,y\n" + "".join(f"{x},1\n" for x in (0, 1, 2, 3, 4)) + "100,1000\n")

    assert measure("r.csv", {"x": 2.5}, ("y",), mode="interpolate").values == {"y": pytest.approx(1.0)}


def test_a_file_without_header_is_read_with_the_columns_that_are_given(tmp_path, measure):
    (tmp_path / "r.csv").write_text("1,2\n3,4\n")

    assert measure("r.csv", {"x": 3.0}, ("y",), columns=["x", "y"]).values == {"y": 4.0}


def test_columns_can_give_a_shipped_dataset_better_names(measure):
    names = ["catalase", "peroxidase", "alcohol_oxidase", "ph", "conversion"]
    point = {"catalase": 0.05, "peroxidase": 0.5, "alcohol_oxidase": 2.0, "ph": 6.0}

    assert measure("alkox", point, ("conversion",), columns=names).values["conversion"] == pytest.approx(5.9325659)


def test_the_column_of_the_only_objective_can_be_said(measure, results):
    point = {"temperature": 400.0, "solvent": "THF"}

    assert measure(results, point, ("price",), objective="cost").values == {"price": 2.0}


def test_a_measurement_that_takes_time_ends_when_it_is_asked_to(tmp_path):
    stopping = threading.Event()
    stopping.set()
    driver = load_driver("dataset:suzuki", {"durations": [3600, 3600]}, tmp_path)

    with pytest.raises(StoppedError):
        driver.measure(SUZUKI, Context("e1", 1, "w-1", tmp_path, stopping, ("yield",)))


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path, measure):
    (tmp_path / "r.csv").write_bytes("\ufeffx,y\n\n1,2\n\n".encode())

    assert measure("r.csv", {"x": 1.0}, ("y",)).values == {"y": 2.0}


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("suzuky", {}, "no dataset 'suzuky'. Name one of suzuki"),
        ("suzuki", {"mode": "closest"}, "Write one of nearest, exact, interpolate"),
        ("suzuki", {"durations": [-1, 2]}, "shortest and the longest"),
    ],
)
def test_a_wrong_name_or_option_is_told_when_the_driver_is_made(tmp_path, name, options, match):
    with pytest.raises(DriverError, match=match):
        load_driver(f"dataset:{name}", options, tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "can't be read: .*Put a CSV file there"),
        ("", "has no rows. Its first line names the columns"),
        ("x,y\n", "has no rows"),
        ("x,x,y\n1,2,3\n", "has the column 'x' twice"),
        ("x,y\n1,2\n1,2,3\n", "line 3 has 3 cells, and there are 2 columns: x, y. Mend the line"),
        ("x,y\n1,lots\n", "line 2: y is 'lots', which is no number. Mend the cell"),
        ("x,y\n,1\n", "has no line with x, y all filled in"),
        ("t,y\n1,2\n", "no column 'x'. It has t, y"),
        ("x,a,b\n1,2,3\n", "no column for the objective 'y'; it could be a, b. Give"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_to_mend(tmp_path, measure, text, match):
    if text is not None:
        (tmp_path / "r.csv").write_text(text)

    with pytest.raises(DriverError, match=match):
        measure("r.csv", {"x": 1.0}, ("y",))
