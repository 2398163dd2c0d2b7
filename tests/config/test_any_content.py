import math
import tomllib
from copy import deepcopy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alchemy_async.config import CampaignSettings, check_campaign, load_campaign
from alchemy_async.errors import SettingsError
from tests.config.conftest import THE_FILE

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = ["temperature", "time", "yield", "name", "type", "bounds", "continuous", "points", "method", "terms", "auto"]

scalars = st.one_of(
    st.sampled_from([*WORDS, "", "a\nb", 0, -1, True, 10**30, math.nan, math.inf, 1e308, 5e-324]),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.builds(lambda: 0xF << 20_000),  # more digits than Python writes
)
keys = st.sampled_from(WORDS) | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def every_place(value):
    """Return the container and the key of every value of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from every_place(inner)


def assert_settings_or_mistakes(check):
    mistakes, told = None, ""
    try:
        found = check()
    except SettingsError as error:
        mistakes, told = error.mistakes, str(error)
    if mistakes is None:
        assert isinstance(found, CampaignSettings)
        assert found.as_space().names
        assert found.n_initial() >= 1
        assert found.study()
    else:
        assert mistakes
        assert all(mistake.path and mistake.what and mistake.mend for mistake in mistakes)
        assert all(line.isprintable() for line in told.splitlines())


@FEW
@given(st.data())
def test_a_file_with_anything_in_any_place_gives_settings_or_mistakes(data):
    document = deepcopy(tomllib.loads(THE_FILE))
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(list(every_place(document))))
        if data.draw(st.booleans()) and isinstance(container, dict):
            container[data.draw(keys)] = data.draw(values)
        else:
            container[key] = data.draw(values)

    assert_settings_or_mistakes(lambda: check_campaign(document))


@FEW
@given(st.dictionaries(st.sampled_from(list(CampaignSettings.model_fields)) | keys, values, max_size=5))
def test_any_document_gives_settings_or_mistakes(document):
    assert_settings_or_mistakes(lambda: check_campaign(document))


@FEW
@given(
    st.integers(0, len(THE_FILE)),
    st.integers(0, 12),
    st.binary(max_size=8) | st.sampled_from([b"[", b'"', b"=", b"\n"]),
)
def test_any_bytes_in_the_file_give_settings_or_mistakes(write, at, n_lost, bytes_):
    whole = THE_FILE.encode()
    folder = write(whole[:at] + bytes_ + whole[at + n_lost :])

    assert_settings_or_mistakes(lambda: load_campaign(folder))
