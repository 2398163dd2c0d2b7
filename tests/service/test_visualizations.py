from __future__ import annotations

import math

import numpy as np
import pytest

from tests.service.one_pool import one_pool, pool  # noqa: F401 - fixtures
from tests.service.test_acquisition import MIXED

PLANE = {"x_var": "T", "y_var": "p", "grid_resolution": 10}
FIGURES = ("parity", "qq-plot", "calibration-curve")


def yields(point):
    return 2.0 - (point["T"] - 6.0) ** 2 / 10.0 + point["p"] / 10.0 + (0.5 if point["c"] == "B" else 0.0)


@pytest.fixture
def mixed(at_hand):
    return at_hand("mixed", MIXED)


def begun(api, n=12):
    rng = np.random.default_rng(1)
    points = [
        {"T": float(10 * rng.random()), "p": float(1 + 19 * rng.random()), "c": "AB"[k % 2], "humidity": 50.0}
        for k in range(n)
    ]
    rows = [{"inputs": point, "output": yields(point)} for point in points]
    api.did("POST", "/experiments/batch", {"experiments": rows})
    return points


def figure(api, name, **query):
    return api.did("GET", f"/visualizations/{name}", params=query)


def test_a_contour_has_a_row_for_each_y_and_a_column_for_each_x(mixed):
    begun(mixed)

    found = mixed.did("POST", "/visualizations/contour", PLANE | {"fixed_values": {"c": "B"}})

    for name in ("x_grid", "y_grid", "predictions", "uncertainties"):
        assert np.array(found[name]).shape == (10, 10)
    assert found["x_grid"][3] == found["x_grid"][0] == pytest.approx(np.linspace(0, 10, 10))
    assert [row[0] for row in found["y_grid"]] == pytest.approx(np.linspace(1, 20, 10))
    assert (found["x_bounds"], found["y_bounds"]) == ([0.0, 10.0], [1.0, 20.0])
    assert found["colorbar_bounds"] == [np.min(found["predictions"]), np.max(found["predictions"])]
    assert found["suggestions"] is None


def test_the_values_over_a_plane_are_those_that_the_model_predicts_there(mixed):
    begun(mixed)

    found = mixed.did("POST", "/visualizations/surface", PLANE | {"fixed_values": {"c": "B", "humidity": 40.0}})

    i, j = 7, 2
    at = {"T": found["x_grid"][i][j], "p": found["y_grid"][i][j], "c": "B", "humidity": 40.0}
    (told,) = mixed.did("POST", "/model/predict", {"inputs": [at]})["predictions"]
    assert found["predictions"][i][j] == pytest.approx(told["prediction"])
    assert found["uncertainties"][i][j] == pytest.approx(told["uncertainty"])
    assert told["prediction"] == pytest.approx(yields(at), abs=1.0)


def test_a_contour_shows_what_was_measured_and_what_was_suggested(mixed):
    points = begun(mixed)
    suggested = mixed.did("POST", "/acquire", {"n_suggestions": 2})["suggestions"]

    found = mixed.did("POST", "/visualizations/contour", PLANE | {"include_suggestions": True})

    assert found["experiments"]["x"] == [point["T"] for point in points]
    assert found["experiments"]["output"] == pytest.approx([yields(point) for point in points])
    assert found["suggestions"] == {"x": [one["T"] for one in suggested], "y": [one["p"] for one in suggested]}
    assert found["output_range"] == pytest.approx([min(map(yields, points)), max(map(yields, points))])
    assert mixed.did("POST", "/visualizations/contour", PLANE | {"include_experiments": False})["experiments"] is None


@pytest.mark.parametrize(
    ("wish", "place"),
    [
        ({"y_var": "T"}, "y_var"),
        ({"y_var": "c"}, "y_var"),
        ({"x_var": "zz"}, "x_var"),
        ({"grid_resolution": 9}, "grid_resolution"),
        ({"grid_resolution": 201}, "grid_resolution"),
        ({"fixed_values": {"zz": 1}}, "fixed_values"),
        ({"fixed_values": {"c": "Z"}}, "fixed_values"),
    ],
)
def test_a_plane_that_there_is_not_is_refused_with_its_place(mixed, wish, place):
    begun(mixed)

    answer = mixed.post("/visualizations/contour", PLANE | wish)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][1] == place


def test_the_scale_of_a_logarithmic_axis_is_geometric(at_hand):
    logarithmic = MIXED.replace('name = "p"\ntype = "continuous"\nbounds = [1, 20]', 'name = "p"\ntype = "continuous"\n'
                                'bounds = [1, 100]\nlog = true')  # fmt: skip
    api = at_hand("log", logarithmic)
    begun(api)

    found = api.did("POST", "/visualizations/contour", {"x_var": "p", "y_var": "T", "grid_resolution": 11})

    assert found["x_grid"][0][5] == pytest.approx(10.0)


def test_parity_shows_each_value_in_the_order_of_the_dataset_beside_what_the_others_say(mixed):
    points = begun(mixed)

    found = figure(mixed, "parity")

    true, told = np.array(found["y_true"]), np.array(found["y_pred"])
    assert true == pytest.approx([yields(point) for point in points])
    assert found["metrics"]["rmse"] == pytest.approx(math.sqrt(np.mean((true - told) ** 2)))
    assert found["bounds"] == [min(true.min(), told.min()), max(true.max(), told.max())]
    assert (len(found["y_std"]), found["calibrated"]) == (12, False)


def test_no_value_judges_a_model_that_has_seen_it(at_hand):
    exact = at_hand("exact", MIXED + '\n[planner.options]\nnoise = "none"\n')
    begun(exact)

    found = figure(exact, "parity")

    assert found["metrics"]["rmse"] > 0.01  # a model of exact measurements repeats what it has seen to 1e-5


def test_calibrated_deviations_fit_the_errors_on_the_whole(mixed):
    begun(mixed)
    plain, fitted = figure(mixed, "parity"), figure(mixed, "parity", use_calibrated=True)

    errors = np.array(fitted["y_true"]) - np.array(fitted["y_pred"])

    assert np.mean((errors / np.array(fitted["y_std"])) ** 2) == pytest.approx(1.0)
    assert plain["y_std"] != fitted["y_std"]
    assert (figure(mixed, "qq-plot", use_calibrated=True)["calibrated"], fitted["calibrated"]) == (True, True)


def test_quantiles_ascend_beside_those_of_the_normal_distribution(mixed):
    begun(mixed)

    found = figure(mixed, "qq-plot")

    assert found["sample_quantiles"] == sorted(found["sample_quantiles"])
    assert found["theoretical_quantiles"] == sorted(found["theoretical_quantiles"])
    assert found["theoretical_quantiles"][0] == pytest.approx(-found["theoretical_quantiles"][-1])
    assert found["n_samples"] == 12
    assert found["z_mean"] == pytest.approx(np.mean(found["sample_quantiles"]))


def test_coverage_says_how_many_values_lie_within_each_interval(mixed):
    begun(mixed)
    z = np.abs(figure(mixed, "qq-plot")["sample_quantiles"])

    found = figure(mixed, "calibration-curve")

    assert found["nominal_coverage"] == pytest.approx(np.arange(0.10, 0.951, 0.05))
    assert found["empirical_coverage"][-1] == pytest.approx(np.mean(z <= 1.959964))
    assert found["confidence_levels"][0] == "±0.13\N{GREEK SMALL LETTER SIGMA} (10%)"
    assert found["results_type"] == "uncalibrated"


def test_the_learning_curve_begins_at_five_results(mixed):
    begun(mixed, 9)

    found = figure(mixed, "metrics", cv_splits=3)

    assert found["training_sizes"] == [5, 6, 7, 8, 9]
    assert all(len(found[name]) == 5 for name in ("rmse", "mae", "r2", "mape"))
    assert found["rmse"][-1] == pytest.approx(figure(mixed, "parity")["metrics"]["rmse"])


def test_the_learning_curve_of_many_results_has_24_steps_at_most():
    from alchemy_async.experiment import History, Objective, Observed
    from alchemy_async.service.models import modelling
    from alchemy_async.service.models.basis import Basis
    from alchemy_async.space import Continuous, Space

    sizes = []
    space, aim = Space((Continuous("x"),)), Objective("y")
    known = History(tuple(Observed({"x": k / 300}, {"y": float(k % 7)}) for k in range(300)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(modelling, "_short", lambda history, *_: (sizes.append(len(history.observations)), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            modelling.curve(known, Basis(space, (aim,), {}), aim)
        patched.setattr(modelling, "_short", lambda *_: (None, 0))
        patched.setattr(modelling, "_without_themselves", lambda _: (np.arange(3.0), np.ones(3), np.ones(3)))
        found = modelling.curve(known, Basis(space, (aim,), {}), aim)

    assert sizes == [5]
    assert len(found["training_sizes"]) == 24
    assert (found["training_sizes"][0], found["training_sizes"][-1]) == (5, 200)


def test_hyperparameters_name_the_model_as_it_was_trained(mixed):
    begun(mixed)
    mixed.did("POST", "/model/train", {"backend": "botorch", "kernel": "RBF", "calibration_enabled": True})

    found = figure(mixed, "hyperparameters")

    assert (found["backend"], found["kernel"], found["calibration_enabled"]) == ("botorch", "RBF", True)
    assert len(found["hyperparameters"]["lengthscale"]) == 4
    assert found["calibration_factor"] > 0.0


def test_without_enough_results_a_figure_says_how_many_it_takes(mixed):
    begun(mixed, 4)

    for name in FIGURES:
        answer = mixed.get(f"/visualizations/{name}")
        assert (answer.status_code, answer.json()["error_type"]) == (400, "NoModelError")
        assert "takes 5 results" in answer.json()["detail"]
    assert figure(mixed, "metrics")["training_sizes"] == []


def test_without_any_result_there_is_no_figure_of_the_model(mixed):
    assert mixed.post("/visualizations/contour", PLANE).status_code == 400
    assert mixed.get("/visualizations/hyperparameters").status_code == 400


def test_a_figure_of_another_objective_can_be_asked_for_and_one_that_there_is_not_is_refused(two):
    rows = [{"inputs": {"T": float(t), "c": "A"}, "output": {"Output": t, "cost": 50.0 + t * t}} for t in range(6)]
    two.did("POST", "/experiments/batch", {"experiments": rows})

    assert min(figure(two, "parity", target="cost")["y_true"]) == pytest.approx(50.0)
    assert min(figure(two, "parity")["y_true"]) == pytest.approx(0.0)
    assert two.get("/visualizations/parity", params={"target": "zz"}).status_code == 422


@pytest.mark.parametrize("scale", [1e-308, 1e300, 1.7e308])
def test_values_at_the_end_of_all_numbers_are_shown_as_numbers(at_hand, scale):
    api = at_hand("huge", MIXED)
    rows = [
        {"inputs": {"T": 1.0 + k, "p": 1.0 + (7 * k) % 11, "c": "A"}, "output": scale * (k % 3 - 1)} for k in range(7)
    ]
    api.did("POST", "/experiments/batch", {"experiments": rows})

    api.did("POST", "/model/train", {})
    api.did("POST", "/acquire", {"n_suggestions": 2})
    api.did("POST", "/visualizations/contour", PLANE)
    for name in (*FIGURES, "metrics", "hyperparameters"):
        figure(api, name, use_calibrated=True)
