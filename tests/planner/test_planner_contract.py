from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.space_filling import RandomPlanner, SobolPlanner
from alchemy_async.testing.planner_contract import PlannerContract


class TestSobolKeepsTheContract(PlannerContract):
    learns = False

    def make_planner(self, space, objectives):
        return SobolPlanner(space, objectives)


class TestRandomKeepsTheContract(PlannerContract):
    learns = False

    def make_planner(self, space, objectives):
        return RandomPlanner(space, objectives)


class TestBayesianKeepsTheContract(PlannerContract):
    def make_planner(self, space, objectives):
        return BayesianPlanner(space, objectives)
