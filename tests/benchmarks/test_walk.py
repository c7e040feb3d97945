"""The walk is measured by what ran: files in order, climbs by the floors, imports left out, an old file by its new room."""

import sys
from pathlib import Path

import pytest

from benchmarks.walk import BEFORE, NOW, figures_of, floor_of, ratios, table_of
from benchmarks.walk_steps import Walk

CALLED = "mlops_assets/stages/called.py"
CALLER = "mlops_assets/assets/caller.py"


@pytest.fixture
def small_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of ours, one of which calls the other, and one that runs a function of it while it is imported."""
    written = {
        CALLED: "class ModelSpec: ...\ndef work(spec, back=None):\n    return back and back(spec)\n",
        CALLER: "import called\ndef ask(spec):\n    called.work(spec, back=answer)\ndef answer(spec): ...\n",
        "resources/early.py": "def at_once(): ...\nat_once()\n",
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        monkeypatch.syspath_prepend(str((tmp_path / name).parent))
    for module in ("called", "caller", "early"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def walk_of(tree: Path) -> dict:
    import called  # type: ignore[import-not-found]
    import caller  # type: ignore[import-not-found]

    def work() -> None:
        import early  # type: ignore[import-not-found]  # noqa: F401

        caller.ask(called.ModelSpec())

    return Walk(tree).of(work)


def test_files_stand_in_the_order_of_entering_and_what_an_import_runs_is_left_out(small_tree):
    walk = walk_of(small_tree)
    assert walk["files"] == [CALLER, CALLED]
    assert walk["functions"] == 3
    assert walk["calls"] == [[CALLER, CALLED], [CALLED, CALLER]]
    assert sorted(walk["given_the_spec"]) == [[CALLER, 1], [CALLER, 1], [CALLED, 2]]


def test_a_call_back_to_a_higher_room_is_a_call_up(small_tree):
    figures = figures_of({"deployment": walk_of(small_tree)}, {})["deployment"]
    assert (figures["files"], figures["climbs"], figures["calls_up"]) == (2, 0, 1)
    assert figures["up"] == [f"{CALLED} calls {CALLER}"]
    assert (figures["spec_files"], figures["spec_functions"], figures["spec_parameters"]) == (2, 3, 4)


def test_a_climb_is_a_file_entered_after_one_of_a_lower_room():
    files = ["resources/lake.py", "mlops_assets/ml/cost.py", "mlops_assets/ml/dataset.py", CALLER, CALLED]
    walk = {"files": files, "functions": 5, "calls": [], "given_the_spec": []}
    assert figures_of({"request": walk}, {})["request"]["climbs"] == 2


def test_a_file_from_before_the_rooms_counts_as_in_the_room_that_it_moved_to():
    moved = {"mlops_assets/costs.py": "mlops_assets/kit/costs.py"}
    assert floor_of("mlops_assets/costs.py", moved) == floor_of("mlops_assets/kit/stage.py", {})
    assert floor_of("mlops_assets/spec_decides.py", {}) == floor_of("mlops_assets/spec/decides.py", {})
    assert floor_of("mlops_assets/replay.py", {}) == floor_of("mlops_assets/replay/clock.py", {})
    assert floor_of("resources/lake.py", moved) == floor_of("resources/lake/lake.py", {})
    with pytest.raises(StopIteration):
        floor_of("mlops_assets/nowhere.py", {})


def test_the_table_has_a_line_for_every_figure_and_the_ratios_are_now_to_before():
    walk = {"files": [CALLER, CALLED], "functions": 2, "calls": [], "given_the_spec": []}
    longer = {**walk, "files": [CALLER, CALLED, "resources/lake.py", "resources/pages.py"]}
    sides = {
        NOW: figures_of({"deployment": longer, "request": walk}, {}),
        BEFORE: figures_of({"deployment": walk, "request": walk}, {}),
    }
    assert ratios(sides)["deployment_files"] == 2.0
    assert ratios(sides)["request_files"] == 1.0
    line = next(line for line in table_of(sides).splitlines() if line.startswith("deployment: files entered"))
    assert line.split()[-2:] == ["2", "4"]
