"""How the text after ``driver =`` becomes a driver."""

import sys
import textwrap

import pytest

from alchemy_async.drivers import Context, Driver
from alchemy_async.drivers.load import load_driver
from alchemy_async.errors import DriverError


@pytest.fixture(autouse=True)
def forget_what_was_imported():
    """Leave ``sys.path`` and ``sys.modules`` as they were."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    """Write a file beside campaign.toml."""

    def write_file(text, name="my_lab.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write_file


@pytest.fixture
def context(tmp_path):
    return Context("e1", 1, "w-1", tmp_path)


def test_a_function_beside_the_campaign_is_called_with_parameters_and_options(write, tmp_path, context):
    write("def reaction(temperature, time, scale): return temperature * time * scale")

    driver = load_driver("my_lab:reaction", {"scale": 2}, tmp_path)

    assert isinstance(driver, Driver)
    assert driver.measure({"temperature": 3, "time": 4}, context) == 24


def test_a_function_gets_the_context_if_it_asks_for_it_by_name(write, tmp_path, context):
    write("def asks(t, context): return context.worker\ndef takes_all(**given): return sorted(given)")

    assert load_driver("my_lab:asks", {}, tmp_path).measure({"t": 1}, context) == "w-1"
    assert load_driver("my_lab:takes_all", {}, tmp_path).measure({"t": 1}, context) == ["t"]


def test_a_parameter_called_context_is_the_parameter(write, tmp_path, context):
    write("def asks(context): return context")

    assert load_driver("my_lab:asks", {}, tmp_path).measure({"context": 7}, context) == 7


def test_a_function_says_itself_whether_it_may_simply_run_again(write, tmp_path):
    write("def f(x): return x\ndef g(x): return x\ng.idempotent = True")

    assert load_driver("my_lab:f", {}, tmp_path).idempotent is False
    assert load_driver("my_lab:g", {}, tmp_path).idempotent is True


def test_a_class_is_made_with_the_options(write, tmp_path, context):
    write("""
        class Furnace:
            def __init__(self, port, *, factor=1): self.port, self.factor = port, factor
            def measure(self, parameters, context): return parameters["t"] * self.factor
    """)

    driver = load_driver("my_lab:Furnace", {"port": "COM3", "factor": 2}, tmp_path)

    assert driver.port == "COM3"
    assert driver.measure({"t": 4}, context) == 8


def test_an_object_with_measure_is_taken_as_it_is(write, tmp_path, context):
    write("""
        class Furnace:
            def measure(self, parameters, context): return 1.0
        furnace = Furnace()
    """)

    assert load_driver("my_lab:furnace", {}, tmp_path).measure({}, context) == 1.0
    with pytest.raises(DriverError, match="Name its class instead"):
        load_driver("my_lab:furnace", {"port": 1}, tmp_path)


def test_a_module_in_a_package_is_found(write, tmp_path, context):
    write("", "my_rig/__init__.py")
    write("def reaction(): return 3.0", "my_rig/furnace.py")

    assert load_driver("my_rig.furnace:reaction", {}, tmp_path).measure({}, context) == 3.0


def test_the_campaigns_own_file_wins_over_one_of_the_same_name_elsewhere(write, tmp_path, context):
    write("def reaction(): return 1.0", "first/my_lab.py")
    write("def reaction(): return 2.0", "second/my_lab.py")

    values = [
        load_driver("my_lab:reaction", {}, tmp_path / place).measure({}, context) for place in ("first", "second")
    ]

    assert values == [1.0, 2.0]


def test_a_file_named_as_a_module_of_python_is_to_be_renamed(write, tmp_path):
    write("def reaction(): return 1.0", "json.py")

    with pytest.raises(DriverError, match=r"json\.py has the name of a module that is in use already. Rename"):
        load_driver("json:reaction", {}, tmp_path)


def test_a_registered_prefix_wins_over_a_module_of_that_name(write, tmp_path):
    write("def suzuki(): return 1.0", "dataset.py")

    assert type(load_driver("dataset:suzuki", {}, tmp_path)).__module__ == "alchemy_async.drivers.dataset"


@pytest.mark.parametrize("name", ["my_lab", "my_lab:", ":reaction", ""])
def test_a_name_needs_two_parts(tmp_path, name):
    with pytest.raises(DriverError, match=r"must have two parts.*my_lab:reaction.*dataset, olympus"):
        load_driver(name, {}, tmp_path)


def test_a_missing_module_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(DriverError, match=r"Looked for .*my_lab\.py and among the installed packages"):
        load_driver("my_lab:reaction", {}, tmp_path)


def test_a_misspelt_prefix_is_recognised(tmp_path):
    with pytest.raises(DriverError, match="Did you mean 'olympus'"):
        load_driver("olympos:Branin", {}, tmp_path)


def test_a_package_that_the_module_needs_is_named(write, tmp_path):
    write("import my_missing_instrument_library")

    with pytest.raises(DriverError, match=r"imports 'my_missing_instrument_library', which is not installed. Install"):
        load_driver("my_lab:reaction", {}, tmp_path)


def test_a_missing_attribute_is_told_with_those_of_nearly_its_name(write, tmp_path):
    write("def reaction(): return 1.0\ndef purge(): return 1.0")

    with pytest.raises(DriverError, match=r"has no 'reactoin'. It has reaction. Mend that file"):
        load_driver("my_lab:reactoin", {}, tmp_path)


def test_a_file_that_was_mended_is_read_again(write, tmp_path):
    write("def reactoin(): return 1.0")
    with pytest.raises(DriverError, match="Mend that file"):
        load_driver("my_lab:reaction", {}, tmp_path)

    write("def reaction(): return 2.0  # mended")

    assert load_driver("my_lab:reaction", {}, tmp_path).measure({}, None) == 2.0


def test_a_syntax_error_is_told_with_its_line(write, tmp_path):
    write("x = 1\ndef reaction(:\n")

    with pytest.raises(DriverError, match=r"my_lab\.py, line 2, is not Python"):
        load_driver("my_lab:reaction", {}, tmp_path)


@pytest.mark.parametrize("line", ["raise SystemExit(3)", "import sys; sys.exit()", "1 / 0", "from json import nothing"])
def test_a_module_that_fails_at_import_ends_nothing_but_itself(write, tmp_path, line):
    write(line)

    with pytest.raises(DriverError, match="importing my_lab ended in"):
        load_driver("my_lab:reaction", {}, tmp_path)


FURNACE = """
    class Furnace:
        def __init__(self, port, factor=1): pass
        def measure(self, parameters, context): return 1.0
"""


@pytest.mark.parametrize("options", [{"prot": 1}, {}, {"port": 1, "x": 2}])
def test_options_that_do_not_fit_a_class_are_told_with_those_that_do(write, tmp_path, options):
    write(FURNACE)

    with pytest.raises(DriverError, match=r"It takes port, factor; mend the worker's `options`"):
        load_driver("my_lab:Furnace", options, tmp_path)


def test_options_that_a_function_has_no_argument_for_are_told_at_once(write, tmp_path):
    write("def reaction(t): return t")

    with pytest.raises(DriverError, match=r"do not fit reaction\(t\).*'scale'.*Mend `options`"):
        load_driver("my_lab:reaction", {"scale": 2}, tmp_path)


def test_options_of_a_registered_driver_are_checked_the_same_way(tmp_path):
    with pytest.raises(DriverError, match=r"'nois'.*It takes domain, noise, durations, seed, parameters; mend"):
        load_driver("olympus:Branin", {"nois": 0.1}, tmp_path)


@pytest.mark.parametrize("line", ["raise OSError('no such port')", "raise SystemExit"])
def test_a_constructor_that_fails_is_the_cause(write, tmp_path, line):
    write(f"class Furnace:\n    def __init__(self): {line}\n    def measure(self, parameters, context): pass")

    with pytest.raises(DriverError, match="could not be made") as caught:
        load_driver("my_lab:Furnace", {}, tmp_path)

    assert isinstance(caught.value.__cause__, (OSError, SystemExit))


def test_a_class_without_measure_is_told_what_it_lacks(write, tmp_path):
    write("class Furnace: pass")

    with pytest.raises(DriverError, match=r"without `measure`. Give it `def measure\(self, parameters, context\)`"):
        load_driver("my_lab:Furnace", {}, tmp_path)


def test_a_measure_that_takes_something_else_is_refused(write, tmp_path):
    write("class Furnace:\n    def measure(self, temperature): return 1.0")

    with pytest.raises(DriverError, match=r"takes \(temperature\). It is called with two things"):
        load_driver("my_lab:Furnace", {}, tmp_path)


def test_what_cannot_be_called_is_no_driver(write, tmp_path):
    write("reaction = 3")

    with pytest.raises(DriverError, match=r"is a int. It must be a function, a class"):
        load_driver("my_lab:reaction", {}, tmp_path)


def test_parameters_that_a_function_does_not_take_are_told_by_name(write, tmp_path, context):
    write("def reaction(temperature): return 1.0")
    driver = load_driver("my_lab:reaction", {}, tmp_path)

    with pytest.raises(DriverError, match=r"reaction\(temperature\) can't be called with temprature.*the names of the"):
        driver.measure({"temprature": 300}, context)


def test_an_option_with_the_name_of_a_parameter_is_refused(write, tmp_path, context):
    write("def reaction(temperature): return 1.0")
    driver = load_driver("my_lab:reaction", {"temperature": 300}, tmp_path)

    with pytest.raises(DriverError, match=r"'temperature' is a parameter and an option too.*take it out"):
        driver.measure({"temperature": 310}, context)
