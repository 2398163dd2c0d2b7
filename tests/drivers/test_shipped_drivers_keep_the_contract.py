"""The DriverContract over every kind of driver that comes with the package."""

# ruff: noqa: RUF012  (points are constants of their suite)

import asyncio

from alchemy_async.drivers.function import FunctionDriver
from alchemy_async.drivers.load import load_driver
from alchemy_async.errors import LimitError
from alchemy_async.testing import DriverContract


class TestFunction(DriverContract):
    good_point = {"temperature": 350.0, "time": 20}
    bad_point = {"temperature": 900.0, "time": 20}

    def make_driver(self, folder):
        def reaction(temperature, time, context):
            if temperature > 500:
                raise LimitError("above 500 K")
            context.sleep(0.01)
            return temperature * time

        return FunctionDriver(reaction, {})


class TestAsyncFunction(DriverContract):
    objectives = ("yield", "cost")
    good_point = {"temperature": 350.0}

    def make_driver(self, folder):
        async def reaction(temperature, price):
            await asyncio.sleep(0.01)
            return {"yield": temperature / 10, "cost": price}

        return FunctionDriver(reaction, {"price": 2.0})


class TestClass(DriverContract):
    good_point = {"n": 3}
    bad_point = {"n": 4}

    def make_driver(self, folder):
        (folder / "my_bench.py").write_text(
            "from alchemy_async.errors import LimitError\n"
            "class Bench:\n"
            "    idempotent = True\n"
            "    def connect(self): self.is_open = True\n"
            "    def check(self, parameters):\n"
            "        if parameters['n'] > 3: raise LimitError('n is at most 3')\n"
            "    def measure(self, parameters, context):\n"
            "        assert self.is_open and type(parameters['n']) is int\n"
            "        return 1.0\n"
            "    def stop(self): assert self.is_open\n"
            "    def teardown(self): self.is_open = False\n"
        )
        return load_driver("my_bench:Bench", {}, folder)


class TestOlympusBranin(DriverContract):
    good_point = {"x": 9.42478, "y": 2.475}
    bad_point = {"x": 11.0, "y": 2.475}

    def make_driver(self, folder):
        return load_driver("olympus:Branin", {"domain": "physical", "durations": [0.001, 0.01]}, folder)


class TestOlympusWithNoise(DriverContract):
    good_point = {"x": 0.5, "y": 0.5, "z": 1}

    def make_driver(self, folder):
        return load_driver("olympus:Rastrigin", {"noise": 0.1, "seed": 3}, folder)


class TestOlympusRandomMixture(DriverContract):
    good_point = {"x": 0.5, "y": 0.5}

    def make_driver(self, folder):
        return load_driver("olympus:Denali", {}, folder)


class TestShippedDataset(DriverContract):
    objectives = ("yield",)
    good_point = {"temperature": 80.0, "pd_mol": 1.0, "arbpin": 1.4, "k3po4": 2.0}

    def make_driver(self, folder):
        return load_driver("dataset:suzuki", {"durations": [0.001, 0.01]}, folder)


class TestOwnTable(DriverContract):
    objectives = ("yield", "cost")
    good_point = {"temperature": 300, "solvent": "THF"}
    bad_point = {"temperature": 300, "solvent": "DMF"}

    def make_driver(self, folder):
        (folder / "results.csv").write_text("temperature,solvent,yield,cost\n300,THF,10,1\n310,DMF,20,2\n")
        return load_driver("dataset:results.csv", {"mode": "exact"}, folder)
