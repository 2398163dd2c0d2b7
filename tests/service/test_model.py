from __future__ import annotations

import math

import numpy as np
import pytest

from alchemy_async.service.models import minds
from tests.service.one_pool import one_pool, pool  # noqa: F401 - fixtures

TRAIN = "/model/train"


def yields(t):
    return 5.0 - (t - 6.0) ** 2 / 5.0


def begun(api, n=8, output=yields):
    rows = [
        {"inputs": {"T": 10.0 * k / (n - 1), "c": "AB"[k % 2]}, "output": output(10.0 * k / (n - 1))} for k in range(n)
    ]
    api.did("POST", "/experiments/batch", {"experiments": rows})
    return api


def test_a_model_is_trained_and_says_how_well_it_predicts(api):
    begun(api, 16)

    answer = api.did("POST", TRAIN, {"backend": "botorch", "kernel": "RBF"})

    assert (answer["success"], answer["backend"], answer["kernel"]) == (True, "botorch", "RBF")
    assert set(answer["metrics"]) >= {"rmse", "mae", "r2"}
    assert answer["metrics"]["r2"] > 0.9
    assert answer["hyperparameters"]["nu"] is None
    assert answer["importance"]["T"] > answer["importance"]["c"]


@pytest.mark.parametrize(("kernel", "named", "nu"), [("matern", "Matern", 2.5), ("RBF", "RBF", None)])
def test_the_kernel_is_the_one_that_is_asked_for_in_any_case(api, kernel, named, nu):
    begun(api)

    answer = api.did("POST", TRAIN, {"kernel": kernel})

    assert (answer["kernel"], answer["hyperparameters"]["kernel_type"], answer["hyperparameters"]["nu"]) == (
        named, named, nu,
    )  # fmt: skip


def test_the_kernel_that_was_trained_is_that_of_predictions_and_suggestions(api):
    begun(api, output=lambda t: abs(t - 4.0))
    at = {"inputs": [{"T": 4.2, "c": "A"}]}

    found = {}
    for kernel in ("Matern", "RBF"):
        api.did("POST", TRAIN, {"kernel": kernel})
        found[kernel] = api.did("POST", "/model/predict", at)["predictions"][0]["prediction"]

    assert found["Matern"] != found["RBF"]


@pytest.mark.parametrize(
    ("wish", "place"),
    [
        ({"kernel": "linear"}, "kernel"),
        ({"backend": "keras"}, "backend"),
        ({"kernel_params": {"nu": 1.5}}, "kernel_params"),
        ({"kernel_params": {"alpha": 1}}, "kernel_params"),
        ({"kernel": "RBF", "kernel_params": {"nu": 2.5}}, "kernel_params"),
        ({"input_transform": "magic"}, "input_transform"),
        ({"optimizer": "luck"}, "optimizer"),
        ({"what": 1}, "what"),
    ],
)
def test_a_model_that_there_is_not_is_refused_with_its_place(api, wish, place):
    begun(api)

    answer = api.post(TRAIN, wish)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][1] == place
    assert api.did("GET", "/model")["is_trained"] is False


def test_scalings_that_change_nothing_here_are_taken_and_kept(api):
    begun(api)
    wish = {"input_transform": "standard", "output_transform": "Standardize", "optimizer": "L-BFGS-B",
            "kernel_params": {"nu": 2.5}}  # fmt: skip

    api.did("POST", TRAIN, wish)

    config = api.did("GET", "/model")["training_config"]
    assert config | wish == config


def test_without_results_or_with_results_that_teach_nothing_there_is_no_model(api, at_hand):
    none = api.post(TRAIN, {})
    begun(api, n=3, output=lambda _: 1.0)
    equal = api.did("POST", TRAIN, {})
    other = at_hand("other")
    other.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 1.0})

    one = other.did("POST", TRAIN, {})

    assert (none.status_code, none.json()["error_type"]) == (400, "NoDataError")
    assert (equal["success"], one["success"]) == (False, False)
    assert "equal" in equal["message"]
    assert "takes 2 results" in one["message"]
    assert other.did("GET", "/state")["model_trained"] is False


def test_of_few_results_it_is_not_told_how_well_the_model_predicts(api):
    begun(api, n=3)

    answer = api.did("POST", TRAIN, {})

    assert (answer["success"], answer["metrics"]) == (True, {})


def test_a_model_nobody_asked_for_takes_five_results(api):
    begun(api, n=4)

    few = minds.train(api.service, api.session)
    api.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 3.0})
    enough = minds.train(api.service, api.session, "botorch", "Matern")

    assert (few.model_trained, enough.model_trained) == (False, True)
    assert "takes 5 results" in few.message
    assert enough.metrics["backend"] == "botorch"


def test_a_training_without_a_wish_is_as_the_last_one(api):
    begun(api)
    api.did("POST", TRAIN, {"backend": "botorch", "kernel": "RBF"})

    found = minds.train(api.service, api.session)

    assert (found.backend, found.kernel) == ("botorch", "RBF")


def test_a_completion_trains_when_it_is_told_to(api):
    begun(api, n=5)
    api.stage(1.5)
    wish = {"auto_train": "true", "training_backend": "botorch", "training_kernel": "rbf"}

    answer = api.did("POST", "/experiments/staged/complete", {"outputs": [0.9]}, params=wish)

    assert answer["model_trained"] is True
    assert answer["training_metrics"]["backend"] == "botorch"
    assert api.did("GET", "/model")["kernel"] == "RBF"


def test_each_training_is_an_event_and_what_it_changed_another(api):
    begun(api)
    for kernel in ("Matern", "Matern", "RBF"):
        api.did("POST", TRAIN, {"kernel": kernel})

    kinds = [(one["kind"], one["details"].get("new", {}).get("kernel")) for one in api.events()]

    assert sum(kind == "model_trained" for kind, _ in kinds) == 3
    assert [kernel for kind, kernel in kinds if kind == "config_changed"] == ["Matern", "RBF"]


def test_an_untrained_model_is_shown_as_such_and_a_trained_one_with_what_it_learnt(api):
    before = api.did("GET", "/model")
    begun(api)
    trained = api.did("POST", TRAIN, {})

    after = api.did("GET", "/model")

    assert before == {"backend": None, "hyperparameters": None, "metrics": None, "is_trained": False,
                      "training_config": None}  # fmt: skip
    assert (after["is_trained"], after["metrics"], after["hyperparameters"]) == (
        True, trained["metrics"], trained["hyperparameters"],
    )  # fmt: skip
    assert api.did("GET", "")["model"]["is_trained"] is True


def test_predictions_need_no_training_and_know_the_newest_result(api):
    begun(api)
    at = {"inputs": [{"T": 6.0, "c": "A"}, {"T": 6.0, "c": "B"}]}
    before = api.did("POST", "/model/predict", at)
    api.did("POST", "/experiments", {"inputs": {"T": 6.0, "c": "A"}, "output": 9.0})

    after = api.did("POST", "/model/predict", at)

    assert before["n_predictions"] == 2
    assert before["predictions"][0]["inputs"] == at["inputs"][0]
    assert before["predictions"][0]["prediction"] == pytest.approx(5.0, abs=0.5)
    assert after["predictions"][0]["prediction"] > before["predictions"][0]["prediction"] + 0.5


def test_far_away_a_prediction_is_the_mean_with_much_doubt_and_never_no_number(api):
    begun(api)

    found = api.did("POST", "/model/predict", {"inputs": [{"T": 1e308, "c": "A"}, {"T": 5.0, "c": "A"}]})["predictions"]

    assert all(math.isfinite(one["prediction"]) for one in found)
    assert found[0]["uncertainty"] > found[1]["uncertainty"]


@pytest.mark.parametrize(
    "point", [{"T": 1.0}, {"T": "x", "c": "A"}, {"T": 1.0, "c": "Z"}, {"T": 1.0, "c": "A", "z": 1}]
)
def test_a_point_that_can_not_be_predicted_is_refused_with_its_place(api, point):
    begun(api)

    answer = api.post("/model/predict", {"inputs": [{"T": 1.0, "c": "A"}, point]})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][:3] == ["body", "inputs", 1]


def test_nothing_is_predicted_without_a_model(api):
    answer = api.post("/model/predict", {"inputs": [{"T": 1.0, "c": "A"}]})

    assert (answer.status_code, answer.json()["error_type"]) == (400, "NoModelError")
    assert api.post("/model/predict", {"inputs": []}).status_code == 422


def test_two_objectives_are_predicted_both(two):
    rows = [{"inputs": {"T": float(t), "c": "A"}, "output": {"Output": t, "cost": 2 * t}} for t in range(5)]
    two.did("POST", "/experiments/batch", {"experiments": rows})

    (found,) = two.did("POST", "/model/predict", {"inputs": [{"T": 2.0, "c": "A"}]})["predictions"]

    assert found["prediction"] == pytest.approx(2.0, abs=0.1)
    assert found["expected"]["cost"]["mean"] == pytest.approx(4.0, abs=0.2)


def test_the_metrics_are_those_of_predictions_of_each_value_without_itself():
    from alchemy_async.service.models.modelling import metrics

    true, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])

    found = metrics(true, predicted)

    assert found["rmse"] == pytest.approx(math.sqrt(1.25 / 3))
    assert found["mae"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(1 - 1.25 / (14 / 3))
    assert found["mape"] == pytest.approx(25.0)
    assert "mape" not in metrics(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert "r2" not in metrics(np.array([1.0, 1.0]), np.array([0.0, 1.0]))


def test_what_is_marked_as_an_outlier_is_out_of_the_model(api):
    begun(api)
    api.did("POST", "/experiments", {"inputs": {"T": 2.0, "c": "A"}, "output": 90.0})
    at = {"inputs": [{"T": 2.0, "c": "A"}]}
    with_it = api.did("POST", "/model/predict", at)["predictions"][0]["prediction"]

    with api.desk.turn() as turn:
        turn.change.correct(9, who="ada", why="a bubble", is_outlier=True)

    without = api.did("POST", "/model/predict", at)["predictions"][0]["prediction"]
    assert without == pytest.approx(yields(2.0), abs=1.0)
    assert with_it > without + 10.0
