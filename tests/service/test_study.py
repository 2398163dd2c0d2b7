from __future__ import annotations

import json
import sqlite3
import tomllib

import pytest

from alchemy_async import locks
from alchemy_async.clock import SimulatedClock
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.service.definition import study
from alchemy_async.service.definition.rewriting import rewrite
from alchemy_async.service.definition.variables import (
    CategoricalVariable,
    Constraint,
    DiscreteVariable,
    IntegerVariable,
    RealVariable,
)
from alchemy_async.service.problems import ConflictError, InvalidError, ServiceError, UnavailableError, UnknownError
from alchemy_async.service.sessions import changing
from alchemy_async.service.sessions.sessions import Sessions
from alchemy_async.service.staged.recording import report
from alchemy_async.service.staged.staging import Wanted, clear, stage

BY_HAND = """\
# the oil bath is slow
[campaign]
name = "amide"   # keep
description = "First screen"

[[parameters]]
# Kelvin, never Celsius
name = "temperature"
type = "continuous"
bounds = [300, 400] # glass breaks above
log = true
unit = "K"

[[parameters]]
name = "solvent"
type = "categorical"
options = ["DMF", "THF"]
descriptors = { DMF = [36.7, 153], THF = [7.6, 66] }

[[objectives]]
name = "yield"
goal = "maximize"
unit = "%"

[budget]
experiments = 3

[[workers]]
name = "reactor"
driver = "my_lab:Reactor" # a person's
count = 2
"""


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def sessions(tmp_path, clock):
    found = Sessions(tmp_path, clock)
    yield found
    found.close()


@pytest.fixture
def session(sessions):
    made = sessions.create("Study")
    changing.add_variable(made.desk, RealVariable(name="T", min=300.0, max=400.0))
    changing.add_variable(made.desk, CategoricalVariable(name="solvent", categories=["DMF", "THF"]))
    return made


@pytest.fixture
def by_hand(sessions):
    folder = sessions.root / "amide"
    folder.mkdir()
    (folder / "campaign.toml").write_text(BY_HAND, encoding="utf-8")
    return sessions.session("amide")


def staged(session, **inputs):
    with session.desk.turn() as turn:
        return stage(turn, [Wanted(inputs)], ("inputs",))[0]


def measured(session, name, value=1.0, parameters=None):
    from alchemy_async.service.staged.measures import Measured

    objective = session.desk.study.objectives[0].name
    with session.desk.turn() as turn:
        report(turn, name, Measured({objective: value}).as_outcome(turn.now, parameters=parameters))


def document(session):
    return tomllib.loads((session.desk.folder / "campaign.toml").read_text(encoding="utf-8"))


def studied(session):
    with session.desk.look() as ledger:
        return json.loads(ledger.meta("study"))


# -- the text --------------------------------------------------------------


def test_a_file_that_says_the_same_stays_as_it_is_to_the_letter():
    assert rewrite(BY_HAND, tomllib.loads(BY_HAND)) == BY_HAND


def test_a_changed_value_leaves_every_comment_where_it_is():
    wanted = tomllib.loads(BY_HAND)
    wanted["parameters"][0]["bounds"] = [290, 410]
    wanted["parameters"].append({"name": "time", "type": "integer", "bounds": [1, 9]})

    text = rewrite(BY_HAND, wanted)

    assert tomllib.loads(text) == wanted
    for comment in ("# the oil bath is slow", "# keep", "# Kelvin, never Celsius", "# a person's"):
        assert comment in text


def test_a_table_taken_out_leaves_the_others_with_their_comments():
    wanted = tomllib.loads(BY_HAND)
    del wanted["parameters"][1]

    text = rewrite(BY_HAND, wanted)

    assert tomllib.loads(text) == wanted
    assert "# Kelvin, never Celsius" in text
    assert "# a person's" in text


def test_tables_that_change_places_cost_no_comment_elsewhere():
    wanted = tomllib.loads(BY_HAND)
    wanted["parameters"].reverse()

    text = rewrite(BY_HAND, wanted)

    assert tomllib.loads(text) == wanted
    assert "# the oil bath is slow" in text
    assert "# a person's" in text


def test_a_layout_that_tomlkit_would_garble_is_written_afresh():
    wanted = {"campaign": {"name": "x", "n": 1, "sub": {"q": 2}}}  # tomlkit puts [campaign.sub] before campaign.n

    assert tomllib.loads(rewrite('campaign.name = "x"\ncampaign.n = 1\n', wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        'parameters = [{name = "a", type = "integer", bounds = [1, 2]}]\n[campaign]\nname = "x"',
        '[[parameters]]\nname = "a"\n[campaign]\nname = "x"\n[[parameters]]\nname = "b"\n',
        'campaign.name = "x"\nparameters = []\n',
        "",
        '[campaign]\r\nname = "x"\r\n[[parameters]]\r\nname = "a"',
    ],
)
def test_whatever_the_layout_the_text_says_what_is_wanted(text):
    wanted = {
        "campaign": {"name": "x"},
        "parameters": [
            {"name": "b", "bounds": [1e-05, 1e16]},
            {"name": 'odd "name" = [x]', "options": ["a#b", "c\\d"]},
        ],
        "constraints": [{"terms": {"b": 1.0, "c d": -2.5}, "at_most": 3.0}],
        "planner": {"initial": {"n": 3}},
    }

    found = tomllib.loads(rewrite(text, wanted))

    assert found == wanted
    assert isinstance(found["constraints"][0]["at_most"], float)


# -- changes without experiments -------------------------------------------


def test_variables_of_every_type_are_kept_in_campaign_toml(session):
    changing.add_variable(session.desk, IntegerVariable(name="n", min=1, max=8, unit="eq"))
    changing.add_variable(session.desk, DiscreteVariable(name="d", allowed_values=[2.0, 0.5]))
    changing.add_variable(session.desk, RealVariable(name="humidity", min=0.0, max=100.0, role="observed"))

    found = {one["name"]: one for one in document(session)["parameters"]}

    assert found["T"] == {"name": "T", "type": "continuous", "bounds": [300.0, 400.0]}
    assert found["n"] == {"name": "n", "type": "integer", "bounds": [1, 8], "unit": "eq"}
    assert found["d"] == {"name": "d", "type": "discrete", "values": [2.0, 0.5]}
    assert found["humidity"]["context"] is True
    assert session.desk.study.space.names == ("T", "solvent", "n", "d", "humidity")


def test_file_and_ledger_say_the_same_after_each_change(session):
    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=300.0, log=True))

    assert studied(session) == json.loads(json.dumps(session.desk.study.as_study()))
    assert studied(session)["parameters"][0] == {
        "name": "T",
        "type": "continuous",
        "bounds": [200.0, 300.0],
        "log": True,
    }


def test_a_change_with_a_mistake_changes_nothing(session):
    before = (session.desk.folder / "campaign.toml").read_bytes()

    with pytest.raises(InvalidError) as caught:
        changing.add_variable(session.desk, RealVariable(name="t", min=0.0, max=1.0))

    assert [flaw.place for flaw in caught.value.flaws] == [("name",)]
    assert (session.desk.folder / "campaign.toml").read_bytes() == before
    assert session.desk.study.space.names == ("T", "solvent")


@pytest.mark.parametrize("name", ["_reason", "a/b", "Noise", "Output", "reason", "9T", " T"])
def test_a_name_that_means_something_else_is_refused(session, name):
    with pytest.raises(InvalidError):
        changing.add_variable(session.desk, RealVariable(name=name, min=0.0, max=1.0))


def test_a_variable_in_a_constraint_can_not_be_taken_out(session):
    changing.add_constraint(session.desk, Constraint(constraint_type="inequality", coefficients={"T": 2.0}, rhs=700.0))

    with pytest.raises(ConflictError, match="DELETE /constraints/constraint_0"):
        changing.remove_variable(session.desk, "T")


def test_the_last_variable_can_be_taken_out_and_another_one_added(session):
    changing.remove_variable(session.desk, "T")
    changing.remove_variable(session.desk, "solvent")

    assert session.desk.study.n_variables == 0
    changing.add_variable(session.desk, RealVariable(name="p", min=0.0, max=1.0))
    assert session.desk.study.space.names == ("p",)


def test_constraints_keep_their_names_and_get_numbers_of_their_own(session):
    def add(**more):
        return changing.add_constraint(
            session.desk, Constraint(constraint_type="inequality", coefficients={"T": 1.0}, **more)
        )

    names = [add(rhs=390.0), add(rhs=380.0, name="oven"), add(rhs=385.0)]
    changing.remove_constraint(session.desk, "constraint_0")

    assert names == ["constraint_0", "oven", "constraint_2"]
    assert [one["at_most"] for one in document(session)["constraints"]] == [380.0, 385.0]
    with session.desk.look() as ledger:
        labels = changing.labels_of(ledger)
    assert changing.constraint_names(labels, document(session)["constraints"]) == ["oven", "constraint_2"]


def test_a_constraint_with_a_name_that_is_taken_or_unknown_is_refused(session):
    changing.add_constraint(
        session.desk, Constraint(constraint_type="equality", coefficients={"T": 1.0}, rhs=350.0, name="c")
    )

    with pytest.raises(ServiceError, match="exists already"):
        changing.add_constraint(
            session.desk, Constraint(constraint_type="equality", coefficients={"T": 1.0}, rhs=360.0, name="c")
        )
    with pytest.raises(UnknownError, match="Those that it has: c"):
        changing.remove_constraint(session.desk, "d")
    with pytest.raises(InvalidError):
        changing.add_constraint(
            session.desk, Constraint(constraint_type="inequality", coefficients={"nope": 1.0}, rhs=1.0)
        )
    with pytest.raises(InvalidError, match="goes from 300 to 400"):
        changing.add_constraint(
            session.desk, Constraint(constraint_type="inequality", coefficients={"T": 1.0}, rhs=1.0)
        )


# -- changes with experiments ----------------------------------------------


def test_bounds_may_be_widened_and_options_added_once_there_are_experiments(session):
    staged(session, T=310, solvent="DMF")

    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=500.0, unit="K"))
    changing.replace_variable(
        session.desk, "solvent", CategoricalVariable(name="solvent", categories=["DMF", "THF", "MeCN"])
    )

    assert staged(session, T=210, solvent="MeCN").parameters == {"T": 210.0, "solvent": "MeCN"}


def test_bounds_may_be_narrowed_as_far_as_every_experiment_allows(session):
    measured(session, staged(session, T=310, solvent="DMF").id)

    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=305.0, max=320.0))
    with pytest.raises(ConflictError, match=r"such as e0001 with 310\.0"):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=311.0, max=320.0))

    assert document(session)["parameters"][0]["bounds"] == [305.0, 320.0]


def test_what_was_measured_as_run_counts_too(session):
    measured(session, staged(session, T=310, solvent="DMF").id, parameters={"T": 330.0, "solvent": "THF"})

    with pytest.raises(ConflictError, match="330"):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=305.0, max=320.0))
    with pytest.raises(ConflictError, match=r"'THF'|'DMF'"):
        changing.replace_variable(
            session.desk, "solvent", CategoricalVariable(name="solvent", categories=["DMF", "MeCN"])
        )


def test_what_lay_outside_the_bounds_as_it_was_run_does_not_stand_in_the_way(session):
    measured(session, staged(session, T=310, solvent="DMF").id, parameters={"T": 299.0, "solvent": "DMF"})

    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=300.0, max=320.0))

    assert document(session)["parameters"][0]["bounds"] == [300.0, 320.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda desk: changing.add_variable(desk, RealVariable(name="p", min=0.0, max=1.0)),
        lambda desk: changing.remove_variable(desk, "solvent"),
        lambda desk: changing.replace_variable(desk, "T", IntegerVariable(name="T", min=300, max=400)),
        lambda desk: changing.load_variables(desk, [RealVariable(name="p", min=0.0, max=1.0)], [], "file"),
    ],
)
def test_variables_stay_what_they_are_once_there_are_experiments(session, change):
    staged(session, T=310, solvent="DMF")

    with pytest.raises(ConflictError, match="session has experiments"):
        change(session.desk)


def test_what_was_only_staged_and_withdrawn_does_not_stand_in_the_way(session):
    staged(session, T=310, solvent="DMF")
    with session.desk.turn() as turn:
        clear(turn)

    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=350.0, max=400.0))
    changing.add_variable(session.desk, RealVariable(name="p", min=0.0, max=1.0))

    assert session.desk.study.space.names == ("T", "solvent", "p")


def test_one_withdrawn_among_others_does_not_keep_bounds_wide(session):
    staged(session, T=310, solvent="DMF")
    with session.desk.turn() as turn:
        clear(turn)
    measured(session, staged(session, T=360, solvent="DMF").id)

    changing.replace_variable(session.desk, "T", RealVariable(name="T", min=350.0, max=400.0))

    assert document(session)["parameters"][0]["bounds"] == [350.0, 400.0]


def test_a_constraint_must_be_met_by_what_is_still_to_be_run_and_not_by_what_was_measured(session):
    measured(session, staged(session, T=390, solvent="DMF").id)
    wanted = Constraint(constraint_type="inequality", coefficients={"T": 1.0}, rhs=350.0)

    changing.add_constraint(session.desk, wanted)
    changing.remove_constraint(session.desk, "constraint_0")
    staged(session, T=360, solvent="DMF")

    with pytest.raises(ConflictError, match="such as e0002"):
        changing.add_constraint(session.desk, wanted)


def test_nothing_is_changed_while_a_planner_runs(session):
    before = (session.desk.folder / "campaign.toml").read_bytes()
    path = planner_lock(session.desk.study.ledger_path)

    with locks.hold(path, what="held", mend="end the test"), pytest.raises(ConflictError, match="PUT /control"):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=500.0))

    assert (session.desk.folder / "campaign.toml").read_bytes() == before
    assert session.is_planned is False


# -- a person's folder -----------------------------------------------------


def test_a_folder_that_a_person_made_is_a_session_and_keeps_all_that_clients_have_no_word_for(by_hand):
    changing.replace_variable(by_hand.desk, "temperature", RealVariable(name="temperature", min=290.0, max=400.0))

    text = (by_hand.desk.folder / "campaign.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    assert found["parameters"][0] == {
        "name": "temperature",
        "type": "continuous",
        "bounds": [290.0, 400.0],
        "log": True,
    }
    assert found["parameters"][1]["descriptors"] == {"DMF": [36.7, 153], "THF": [7.6, 66]}
    assert found["workers"][0]["driver"] == "my_lab:Reactor"
    assert "# the oil bath is slow" in text
    assert "# a person's" in text


def test_a_persons_budget_holds_for_whoever_stages(by_hand):
    from alchemy_async.errors import BudgetError

    for t in (310, 320, 330):
        staged(by_hand, temperature=t, solvent="DMF")

    with pytest.raises(BudgetError, match="All 3 places"):
        staged(by_hand, temperature=340, solvent="DMF")


def test_a_file_edited_by_hand_is_followed_at_the_next_request(sessions, by_hand):
    staged(by_hand, temperature=310, solvent="DMF")
    path = by_hand.desk.folder / "campaign.toml"
    path.write_text(BY_HAND.replace("[300, 400]", "[250, 450]").replace("experiments = 3", "experiments = 9"))

    found = sessions.session("amide")

    assert found is by_hand
    assert found.desk.study.space.parameters[0].low == 250.0
    assert studied(found)["parameters"][0]["bounds"] == [250, 450]
    with found.desk.look() as ledger:
        assert ledger.meta("budget") == "9"


def test_a_file_edited_so_that_what_was_done_does_not_fit_is_not_followed(sessions, by_hand):
    found = staged(by_hand, temperature=310, solvent="DMF")
    path = by_hand.desk.folder / "campaign.toml"
    path.write_text(BY_HAND.replace("[300, 400]", "[350, 400]"))

    session = sessions.session("amide")
    measured(session, found.id)

    assert session.desk.study.space.parameters[0].low == 300.0
    assert "does not fit what was done" in session.problem
    with pytest.raises(UnavailableError, match="does not fit"):
        Sessions(sessions.root, SimulatedClock()).session("amide")
    path.write_text(BY_HAND.replace("[300, 400]", "[300, 500]"))
    assert sessions.session("amide").desk.study.space.parameters[0].high == 500.0
    assert session.problem is None


def test_a_file_with_mistakes_holds_up_nobody_who_measures_and_is_told_without_a_path(sessions, by_hand, tmp_path):
    found = staged(by_hand, temperature=310, solvent="DMF")
    path = by_hand.desk.folder / "campaign.toml"
    for text, why in (
        (BY_HAND.replace('"continuous"', '"continuos"'), "no type of parameter"),
        ("[[", "can't be read"),
    ):
        path.write_text(text)

        session = sessions.session("amide")

        assert why in session.problem
        assert str(tmp_path) not in session.problem
        with pytest.raises(UnavailableError, match="A person has to mend"):
            changing.replace_variable(session.desk, "temperature", RealVariable(name="temperature", min=1.0, max=500.0))
    measured(session, found.id)


def test_a_running_planner_keeps_the_file_that_it_has_read(sessions, by_hand):
    path = by_hand.desk.folder / "campaign.toml"

    with locks.hold(planner_lock(by_hand.desk.study.ledger_path), what="held", mend="end the test"):
        path.write_text(BY_HAND.replace("[300, 400]", "[250, 450]"))
        assert sessions.session("amide").desk.study.space.parameters[0].low == 300.0

    assert sessions.session("amide").desk.study.space.parameters[0].low == 250.0


# -- crashes ---------------------------------------------------------------


def test_a_crash_between_file_and_ledger_heals_at_the_next_start(sessions, session, clock, tmp_path, monkeypatch):
    class PowerCutError(BaseException):
        pass

    def cut(*_, **__):
        raise PowerCutError

    monkeypatch.setattr(changing, "follow", cut)
    with pytest.raises(PowerCutError):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=500.0))
    assert document(session)["parameters"][0]["bounds"] == [200.0, 500.0]
    assert studied(session)["parameters"][0]["bounds"] == [300.0, 400.0]
    monkeypatch.undo()
    sessions.close()

    again = Sessions(tmp_path, clock).session(session.id)

    assert studied(again)["parameters"][0]["bounds"] == [200.0, 500.0]
    assert again.desk.study.space.parameters[0].low == 200.0


def test_a_ledger_that_refuses_leaves_the_file_as_it_was(session, monkeypatch):
    def refuse(*_, **__):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(changing, "follow", refuse)

    with pytest.raises(sqlite3.OperationalError):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=500.0))

    assert document(session)["parameters"][0]["bounds"] == [300.0, 400.0]
    assert session.desk.study.space.parameters[0].low == 300.0


def test_a_disk_that_refuses_the_file_leaves_the_ledger_as_it_was(session, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study, "put_text", refuse)

    with pytest.raises(OSError, match="No space"):
        changing.replace_variable(session.desk, "T", RealVariable(name="T", min=200.0, max=500.0))

    assert studied(session)["parameters"][0]["bounds"] == [300.0, 400.0]
    assert session.desk.study.space.parameters[0].low == 300.0


def test_a_ledger_of_another_campaign_is_refused(sessions, by_hand, tmp_path, clock):
    sessions.close()
    path = by_hand.desk.folder / "campaign.toml"
    path.write_text(BY_HAND.replace('"amide"', '"amine"'))

    with pytest.raises(UnavailableError, match="put the name back"):
        Sessions(tmp_path, clock).session("amide")


def test_the_plan_command_finds_the_ledger_that_it_expects_after_changes(session):
    settings = session.desk.study.checked

    with Ledger.create(
        session.desk.study.ledger_path, name=settings.campaign.name, study=settings.study()
    ) as ledger:  # as `alchemy-async plan` opens it
        assert ledger.meta("name") == "Study"
