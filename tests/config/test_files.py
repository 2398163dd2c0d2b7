import os

import pytest

from alchemy_async.config import load_campaign
from alchemy_async.errors import FolderError, SettingsError


def mistake_in(folder):
    with pytest.raises(SettingsError) as caught:
        load_campaign(folder)
    (mistake,) = caught.value.mistakes
    return mistake


def test_a_folder_without_the_file_says_what_makes_one(tmp_path):
    with pytest.raises(FolderError, match=r"holds no campaign\.toml\. `alchemy-async init .*` makes one"):
        load_campaign(tmp_path)


def test_a_folder_that_is_missing_or_a_file_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(FolderError, match=r"is not a folder\. `alchemy-async init"):
            load_campaign(folder)


def test_a_campaign_toml_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "campaign.toml").mkdir()

    with pytest.raises(FolderError, match=r"not a file\. Move it away"):
        load_campaign(tmp_path)


def test_a_campaign_toml_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "campaign.toml")

    with pytest.raises(FolderError, match=r"not a file\. Move it away"):
        load_campaign(tmp_path)


def test_a_link_to_the_file_is_followed_and_a_broken_one_is_a_missing_file(tmp_path, text):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "campaign.toml").symlink_to(tmp_path / "kept-elsewhere.toml")
    with pytest.raises(FolderError, match=r"holds no campaign\.toml"):
        load_campaign(folder)

    (tmp_path / "kept-elsewhere.toml").write_text(text)

    assert load_campaign(folder).campaign.name == "amide-coupling"


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "campaign.toml").symlink_to(tmp_path / "campaign.toml")

    with pytest.raises(FolderError, match=r"campaign\.toml"):
        load_campaign(tmp_path)


def test_a_file_of_more_than_a_megabyte_is_refused(write):
    mistake = mistake_in(write("#" * (1024 * 1024 + 1)))

    assert mistake.what == "has more than 1 MB"


def test_an_empty_file_says_which_sections_it_needs(write):
    with pytest.raises(SettingsError) as caught:
        load_campaign(write(""))

    assert [mistake.path for mistake in caught.value.mistakes] == ["campaign", "parameters", "objectives"]


def test_a_byte_order_mark_does_no_harm(write, text):
    assert load_campaign(write(text.encode("utf-8-sig"))).budget.experiments == 20


def test_another_encoding_is_told_with_its_line(write, text):
    mistake = mistake_in(write(text.replace('"%"', '"°"').encode("latin-1")))

    assert mistake.path == "line 29"
    assert "Save the file as UTF-8" in mistake.mend


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ("name = amide", "Put a text in quotes"),
        ("log = True", "true or false in small letters"),
        ("timeout_s = 3,5", "a point, not a comma"),
        ("name 'amide'", "Write `key = value`"),
        ("name = 'amide", "End the text with the quote"),
        (r'driver = "C:\my_lab"', "double each backslash"),
        ("seed = 1\nseed = 2", "Write each key and each"),
        ("bounds = [1, 2", "Close every bracket"),
        ("[planner", "Close every bracket"),
        ("seed = " + "9" * 5000, "alchemy-async init"),
    ],
)
def test_a_slip_in_the_syntax_is_told_with_a_mend(write, line, mend):
    mistake = mistake_in(write(f"[campaign]\n{line}\n"))

    assert mistake.what.startswith("is not TOML: ")
    assert mend in mistake.mend


def test_a_slip_in_the_syntax_is_told_with_line_and_column(write):
    assert mistake_in(write("[campaign]\nname = amide\n")).path == "line 2, column 8"


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x" + ".x" * 1_000 + " = 1", "x = " + "[" * 20 + "]" * 20])
def test_deep_nesting_is_refused(write, text):
    assert "deep" in mistake_in(write(text)).what
