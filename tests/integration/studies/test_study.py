"""Studies from TOML: what they expand to, and one line for each mistake."""

from pathlib import Path

import pytest

from golden_model.errors import UserError
from integration.studies.sweep.engine import check_plots, expand
from integration.studies.sweep.study import LIMIT, Study, merged, overlaid, parse, read
from integration.studies.sweep.task import code_of, find

TASK = 'task = "trivial_tasks:TRIVIAL"\n'


def study(text: str, **options: object) -> Study:
    return parse(TASK + text, "s.toml", name="s", **options)  # type: ignore[arg-type]  # any options


def test_a_grid_times_a_list_times_seeds() -> None:
    s = study(
        "seeds = 2\n[grid]\nshape.width = [1, 2]\n[[list]]\nlabel = 'a'\n[[list]]\nlabel = 'b'\nshape.height = 3\n"
    )
    assert s.size == 8 and s.keys == ("seed", "shape.width", "label", "shape.height")
    settings = list(s.settings())
    assert settings[0] == {"seed": 0, "shape.width": 1, "label": "a"}
    assert settings[1] == {"seed": 0, "shape.width": 1, "label": "b", "shape.height": 3}
    assert settings[-1] == {"seed": 1, "shape.width": 2, "label": "b", "shape.height": 3}
    assert len({tuple(sorted(s.items())) for s in settings}) == 8


def test_a_row_of_the_list_may_have_several_values() -> None:
    text = "seeds = 2\n[[list]]\nlabel = ['a', 'b']\nshape.width = [1, 2]\nseeds = 1\n[[list]]\nlabel = 'c'\n"
    few = parse(text, "s", name="s")
    shown = [(s["label"], s.get("shape.width"), s["seed"]) for s in few.settings()]
    ones = [("a", 1, 0), ("a", 2, 0), ("b", 1, 0), ("b", 2, 0)]
    assert shown == [*ones, ("c", None, 0), ("c", None, 1)] and few.size == 6
    with pytest.raises(UserError, match=r"list: label = \[\]: a value is wanted, or several"):
        parse("[[list]]\nlabel = []\n", "s", name="s")
    with pytest.raises(UserError, match="list: one row makes 1,000,000 points, more than 100,000; use"):
        parse("[[list]]\n" + "".join(f"{key} = {[*range(1000)]}\n" for key in "ab"), "s", name="s")


def test_a_row_of_the_list_may_take_fewer_seeds() -> None:
    text = "[grid]\nshape.width = [1, 2]\n[[list]]\nlabel = 'a'\nseeds = 1\n[[list]]\nlabel = 'b'\n"
    s = study("seeds = 3\n" + text)
    settings = list(s.settings())
    assert s.size == len(settings) == 2 * (1 + 3) and s.keys == ("seed", "shape.width", "label")
    assert {each["seed"] for each in settings if each["label"] == "a"} == {0}
    assert {each["seed"] for each in settings if each["label"] == "b"} == {0, 1, 2}
    few = study("seeds = 3\n" + text.replace("seeds = 1", "seeds = 2"), seeds=1)  # --seeds is the limit of all
    assert few.size == len(list(few.settings())) == 4
    with pytest.raises(UserError, match=r"list: seeds = 1: a row takes that many of the study's seeds"):
        study(text)
    with pytest.raises(UserError, match="list: seeds = 0"):
        study("seeds = 3\n" + text.replace("seeds = 1", "seeds = 0"))


def test_points_are_configurations_and_equal_ones_are_one() -> None:
    """A field that the content leaves out does not matter: its values go from the setting, equal points are one."""
    s = study('[base]\nlabel = "x"\n[grid]\npause = [0.1, 0.2]\nshape.width = [3, 4]\n"shape.height" = [2, 2.0]')
    task = find(s.task)
    points = expand(s, task, code_of(s.task))
    assert s.size == 8 and [point.setting for point in points] == [
        {"shape.width": 3, "shape.height": 2},
        {"shape.width": 4, "shape.height": 2},
    ]
    assert [point.place for point in points] == [0, 2]
    assert points[0].content["shape"] == {"width": 3, "height": 2.0} and points[0].content["label"] == "x"
    assert len({point.hash for point in points}) == 2 and all(len(point.hash) == 32 for point in points)


def test_the_hash_is_of_content_and_code() -> None:
    s = study("[grid]\nshape.width = [1]")
    code = code_of(s.task)
    (point,) = expand(s, find(s.task), code)
    assert code.hash(point.content) == point.hash
    assert code.hash({**point.content, "seed": 1}) != point.hash
    for change in ({"source": "0"}, {"task": "other"}, {"releases": {"torch": "1"}}):
        other = type(code)(**{"task": code.task, "source": code.source, "releases": code.releases, **change})  # type: ignore[arg-type]  # any fields
        assert other.hash(point.content) != point.hash


def test_the_quick_form_and_the_number_of_seeds() -> None:
    text = "seeds = 5\n[base]\nlabel = 'x'\nshape.width = 7\n[grid]\npause = [1.0, 2.0]\n"
    text += "[quick]\nseeds = 1\nbase.shape.height = 2\ngrid.pause = [0.0]\n"
    assert study(text).size == 10 and study(text, seeds=3).size == 6
    quick = study(text, quick=True)
    assert quick.size == 1 and quick.name == "s-quick"
    assert quick.base == {"label": "x", "shape": {"width": 7, "height": 2}}
    with pytest.raises(UserError, match=r"has no \[quick\] table"):
        study("seeds = 1", quick=True)


def test_tables_merge_without_touching_their_source() -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert merged(base, {"a": {"b": 3}, "d": {"e": 4}}) == {"a": {"b": 3, "c": [1]}, "d": {"e": 4}}
    assert overlaid(base, {"a.x.y": 5}, "t") == {"a": {"b": 1, "c": [1], "x": {"y": 5}}, "d": 2}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 2}
    with pytest.raises(UserError, match=r"'d\.e' reaches into 'd'"):
        overlaid(base, {"d.e": 1}, "t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bsae]\nlabel = 'a'", "s.toml: unknown key 'bsae'; did you mean base?"),
        ("[base]\nlable = 'a'", "unknown key 'lable'; did you mean label?"),
        ("[grid]\nshape.widht = [1]", "shape: unknown key 'widht'; did you mean width?"),
        ("[grid]\nshape.width = ['wide']", "a whole number is wanted (at the point shape.width = wide)"),
        ("[grid]\nshape.width = 3", "write a list of values, [3]"),
        ("[grid]\nseed = [12, 13]", "brings bad luck (at the point seed = 13)"),
        ("[grid]\nlabel.x = [1]", "this is not a value of str"),
        ("[base]\nlabel = 'a'\n[grid]\n'label.x' = [1]", "reaches into 'label'"),
        ("seeds = 2\n[grid]\nseed = [1]", "seed varies twice"),
        ("[grid]\nseed = [1]\n[[list]]\nseed = 2", "seed varies twice"),
        ("seeds = 'two'", "a whole number is wanted"),
        ("seeds = 0", "no points, seed has no values"),
        ("[grid]\nlabel = []", "no points, label has no values"),
        ("list = []", "no points, the list has no values"),
        ("list = 3", "[[list]]"),
        ("base = 3", "write it as a table, [base]"),
        ("name = 'a/b'", "it becomes a folder"),
        ("title = 3", "text is wanted"),
        ("name = ", "is not TOML"),
        ("[[plot]]\nx = 'label'", "x and y are wanted"),
        ("[[plot]]\nx = 'label'\ny = 'area'\nz = 1", "unknown key 'z'"),
        ("[[plot]]\nx = 'label'\ny = 1", "is not text"),
        ("plot = 1", "[[plot]]"),
        ("[[plot]]\nx = 'label'\ny = 'area'", "x = 'label': there are area, cost"),
        ("[grid]\nlabel = ['a']\n[[plot]]\nx = 'label'\ny = 'area'\nwithout = 'labl'", "without = 'labl': there are"),
        ("[grid]\nlabel = ['a']\n[[plot]]\nx = 'label'\ny = 'volume'", "y = 'volume': there are area, cost"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        s = study(text)
        s.check_size()
        check_plots(s, find(s.task))
        expand(s, find(s.task), code_of(s.task))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_huge_study_is_refused_without_expanding_it() -> None:
    ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    keys = ("label", "shape.width", "shape.height", "pause", "fail", "die", "seed", "a", "b")
    huge = study("[grid]\n" + "".join(f"{key} = {ten}\n" for key in keys))
    assert huge.size == 10**9
    with pytest.raises(UserError, match=r"1,000,000,000 points \(10 label x .*\) are more than 100,000; .*--limit"):
        huge.check_size()
    seeds = study("seeds = 1_000_000_000")
    with pytest.raises(UserError, match="1,000,000,000 seed"):
        seeds.check_size()
    study(f"seeds = {LIMIT}").check_size()
    study(f"seeds = {LIMIT + 1}").check_size(LIMIT + 1)


def test_files_and_tasks_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")
    for name, message in (
        ("acuracy", "task 'acuracy' is unknown: did you mean accuracy"),
        ("no_such_module:X", "importing 'no_such_module' failed"),
        ("trivial_tasks:run", "has no Task named 'run'"),
    ):
        with pytest.raises(UserError, match=message):
            find(name)
