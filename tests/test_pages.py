"""What a page shows is compared with what came, so that a page that is no longer true is noticed."""

from pathlib import Path

import pytest

from tests.acceptance.pages import Block, Reader, blocks, fits, is_shown
from tests.small_year import environment

OUTPUT = (
    "Replaying 2 partitions; state in /tmp/x\n  [00:01] ingest\n\nfrom   to    auc\nMon    Tue   0.6612\n"
)


@pytest.mark.parametrize(
    "shown",
    [OUTPUT, "Replaying 2 partitions; state in …/x\n…\nMon Tue 0.66…", "…", "Replaying …\n…\nfrom to auc\n…"],
)
def test_what_is_left_out_may_be_anything_and_spaces_count_once(shown):
    assert is_shown(shown, OUTPUT)


@pytest.mark.parametrize(
    "shown", ["Replaying 2 partitions; state in …", "…\nMon Tue 0.67…", "Mon Tue 0.66…", ""]
)
def test_another_number_a_missing_line_and_one_too_many_are_noticed(shown):
    assert not is_shown(shown, OUTPUT)


def test_json_has_the_same_names_and_values_but_for_what_is_left_out():
    answer = {"version": "4", "probability": 0.3, "features": [{"minutes": 71}]}
    assert fits({**answer, "probability": "…"}, answer)
    for other in ({"version": "4"}, {**answer, "version": "5"}, {**answer, "features": [{"minutes": 70}]}):
        assert not fits(other, answer)


def test_a_reader_keeps_folder_and_variables_writes_files_and_changes_lines(tmp_path: Path):
    (tmp_path / "left").mkdir()
    reader = Reader(tmp_path, environment(tmp_path / "home"), tmp_path / "left")
    page = (
        "```bash\nmkdir -p inner && cd inner\nexport NAME=there\n```\n"
        "```yaml\n# a.yaml\none: 1\ntwo: 2\n```\n```diff\n# a.yaml\n-two: 2\n+two: 3\n```\n"
        "```bash\necho $NAME; cat a.yaml\n```\n```text\nthere\none: 1\ntwo: 3\n```\n"
    )
    assert blocks(page)[-1] == Block("text", "there\none: 1\ntwo: 3\n")
    reader.follow(page)
    assert reader.folder == tmp_path / "inner"
    with pytest.raises(AssertionError, match="is not what the page shows"):
        reader.follow("```bash\necho no\n```\n```text\nyes\n```\n")
    with pytest.raises(AssertionError, match="has not once what the page changes"):
        reader.follow("```diff\n# a.yaml\n-two: 2\n+two: 3\n```\n")


def test_a_command_fails_only_where_the_page_shows_an_error(tmp_path: Path):
    (tmp_path / "left").mkdir()
    reader = Reader(tmp_path, environment(tmp_path / "home"), tmp_path / "left")
    reader.follow("```bash\necho 'error here'; false\n```\n```text\nerror here\n```\n")
    with pytest.raises(AssertionError):
        reader.follow("```bash\nfalse\n```\n")
    with pytest.raises(AssertionError):
        reader.follow("```bash\necho 'error here'\n```\n```text\nerror here\n```\n")
