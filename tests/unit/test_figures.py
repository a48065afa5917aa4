"""Each figure as it is seen: its size, its ink, and every word inside the picture and apart from the others."""

from collections.abc import Iterator
from contextlib import closing
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pipelines.figures import bars, flow, forest, incidence, sizes, style, survival, swimmer, timeline, words, write
from pipelines.warehouse import Home, open_read

Rows = list[dict[str, Any]]
TALLEST = 10.4  # inches: A4 less its margins and the line that names the figure
MANY = 1_000_000


def curve(times: list[float], n: int, each: int, censored: bool = False) -> Rows:
    """A curve that loses `each` at every time."""
    return [
        {"paramcd": "X", "t_months": t, "n_at_risk": n - i * each, "n_event": 0 if censored else each,
         "n_censored": each if censored else 0, "survival": 1 - (0 if censored else (i + 1) * each / n),
         "lcl": None if (i + 1) * each == n else 0.1, "ucl": None if (i + 1) * each == n else 0.9}
        for i, t in enumerate(times)
    ]  # fmt: skip


def summary(n: int, median: float | None) -> dict[str, Any]:
    return {
        "n": n,
        "counted": "subject",
        "n_event": n,
        "median_months": median,
        "median_lcl": median,
        "median_ucl": None,
    }


def grouped(panel: int, groups: int, n: int) -> Rows:
    """The curves of one grouping."""
    title = "Oligo-progression in known or new lesions"
    about = {"grouping": f"column{panel}", "grouping_label": title, "n": n, "counted": "subject"}
    return [
        row | about | {"group_key": f"{group}", "group_label": f"At pre-existing lesions only {group}",
                       "logrank_p": 0.0004 if panel else None}
        for group in range(groups) for row in curve([3.0, 30.0 + group], n, n // 2 or 1, censored=True)
    ]  # fmt: skip


def kinds(ends: tuple[float, ...], n: int) -> Rows:
    """Kinds of event, each with its incidence at the end."""
    return [
        {"evntdesc": f"Outside the irradiated volume only {i}", "t_months": t, "n_at_risk": n, "n_event": 1,
         "incidence": end * share}
        for i, end in enumerate(ends) for t, share in ((3.0, 0.5), (30.0, 1.0))
    ]  # fmt: skip


def bar(rank: int, best: float, response: str, n: int, **more: Any) -> dict[str, Any]:
    return {"rank_no": rank, "n_measured": n, "n_all": n + 1, "best_pct": best, "response": response, **more}


def lane(rank: int, kind: str, detail: str | None, start: float, end: float | None, n: int) -> dict[str, Any]:
    return {"usubjid": f"RCC-ME1-{rank:03d}-X", "rank_no": rank, "n_all": n, "kind": kind, "detail": detail,
            "start_months": start, "end_months": end}  # fmt: skip


def lanes(count: int, n: int) -> Rows:
    """Every kind of event, in every lane."""
    kinds = [("follow_up", None, 0, 60), ("drug", "800 mg/day", 0, 30), ("interruption", "liver", 12, 12.1)]
    kinds += [("radiotherapy", None, 12, 12), ("response", "PR", 3, None), ("response", "CR", 6, None)]
    kinds += [("progression", "first", 11.5, None), ("progression", "second", 30, None)]
    kinds += [("next_therapy", None, 32, None)]
    rows = [lane(i, *kind, n) for i in range(1, count + 1) for kind in kinds]  # type: ignore[arg-type]
    return rows + [lane(i, "death" if i % 2 else "alive", None, 60, None, n) for i in range(1, count + 1)]


def group(section: str, label: str, n: int, whole: str) -> dict[str, Any]:
    return {"section": section, "label": label, "whole_fl": whole, "n_responders": n, "n": n, "orr_pct": 100.0,
            "orr_lcl": 100.0 * (n > 1), "orr_ucl": 100.0}  # fmt: skip


def counts(label: str, n: int) -> dict[str, Any]:
    part = n // 5
    return {"label": label, "n": n, "n_cr": part, "n_pr": part, "n_sd": part, "n_pd": n - 4 * part, "n_ne": part}


def adverse(label: str, n: int, denominator: int) -> dict[str, Any]:
    pct = 100 * n / denominator
    return {"label": label, "n_any": n, "pct_any": pct, "pct_any_lcl": pct / 2, "pct_any_ucl": min(100, 2 * pct),
            "n_grade34": n, "pct_grade34": pct, "n_denominator": denominator}  # fmt: skip


def step(name: str, label: str, n: int, lost: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {"step": name, "label": label, "n": n, "n_lost": lost, "reason": reason}


LONG = "Time from the first fraction to in-field progression of each irradiated lesion (local control)"
REASONS = "; ".join(
    f"excluded, not met: Blood counts, liver and kidneys work well enough {i}: 123,456" for i in range(9)
)
ENDPOINT = {"param": LONG, "decimals": 2}
FIVE = ("NE", "CR", "PR", "SD", "PD")


def invented() -> dict[str, Figure]:
    """What the reference study does not show: crowds, single patients, and the ends of every scale."""
    centres = ("Medical oncology, twenty-first unit", 1, "N"), ("Radiotherapy 2", MANY, "N"), ("All", MANY, "Y")
    return {
        "km: a million": survival.kaplan_meier(
            curve([0.1 * i for i in range(1, 1001)], MANY, MANY // 1000), ENDPOINT, summary(MANY, 50.0), 95
        ),
        "km: lesions": survival.kaplan_meier(curve([1], 1, 1), ENDPOINT, summary(1, 1.0) | {"counted": "lesion"}, 95),
        "km: one": survival.kaplan_meier(curve([0.0], 1, 1), ENDPOINT, summary(1, 0.0), 95),
        "km: censored": survival.kaplan_meier(curve([1, 5.5], 2, 1, censored=True), ENDPOINT, summary(2, None), 95),
        "by group: four": survival.by_group([row for i in range(4) for row in grouped(i, i + 2, MANY)], ENDPOINT),
        "by group: one": survival.by_group(grouped(0, 1, 1), ENDPOINT),
        "incidence: narrow": incidence.incidence(kinds((0.01, 0.01, 0.01, 0.96), MANY), ENDPOINT),
        "incidence: five": incidence.incidence(kinds((0.3, 0.001, 0.2, 0.0, 0.001), 1000), ENDPOINT),
        "incidence: nothing": incidence.incidence([], ENDPOINT),
        "incidence: one": incidence.incidence(kinds((1.0,), 1), ENDPOINT),
        "waterfall: growth": sizes.waterfall(
            [bar(i, 400 - 5 * i, FIVE[i % 5], MANY) for i in range(1, 101)], "irradiated"
        ),
        "waterfall: few": sizes.waterfall([bar(i, 400 - 10 * i, FIVE[i % 5], 50) for i in range(1, 51)], "irradiated"),
        "waterfall: one": sizes.waterfall([bar(1, 0.0, "NE", 1)], "first_line"),
        "spider: growth": sizes.spider(
            [bar(i, -90.0, FIVE[i % 5], MANY, t_months=t, change_pct=9.0 * i - t)
             for i in range(1, 101) for t in (2, 100)],
            "irradiated",
        ),
        "spider: one": sizes.spider([bar(1, 0.0, "SD", 1, t_months=0.3, change_pct=0.0)], "first_line"),
        "swimmer: a crowd": swimmer.swimmer(lanes(100, MANY)),
        "swimmer: one": swimmer.swimmer(lanes(1, 1)),
        "forest: a million": forest.forest(
            [group(section, *centre)
             for section in ("Patients after radiotherapy, by radiotherapy centre", "Others") for centre in centres]
        ),
        "responses: a million": bars.responses([counts("Pleura (no effusion)", n) for n in (1, 20, MANY)]),
        "toxicity: a million": bars.toxicity([adverse("Oesophagitis", n, MANY) for n in (1, 1000, MANY)]),
        "toxicity by window: a million": bars.toxicity_windows(
            [adverse(f"Oesophagitis {n}", n, MANY) | {"window_label": window}
             for window in ("Whole study", "From the first fraction", "New or worsened")
             for n in (1, 1000, MANY)][:-1]
        ),
        "toxicity by window: one": bars.toxicity_windows([adverse("Fatigue", 0, 1) | {"window_label": "Acute"}]),
        "flow: many": flow.flow(
            [step("received", "Study codes received", MANY), step("linked", "Linked", MANY - 9, 9, REASONS),
             step("eligible", "Eligible", 9, MANY, REASONS)]
            + [step(f"evaluable_{i}", f"Evaluable for ENDPOINT{i}", MANY) for i in range(11)]
        ),
        "flow: no endpoint": flow.flow([step("received", "Study codes received", 0)]),
        "nothing": style.empty(LONG),
    }  # fmt: skip


@pytest.fixture(scope="module")
def extreme() -> dict[str, Figure]:
    with style.house_style():
        return invented()


@pytest.fixture(scope="module")
def reference(demo_home: Path) -> Iterator[dict[str, Figure]]:
    """Every figure of the reference study."""
    with closing(open_read(Home(demo_home))) as con, style.house_style():
        yield {d.stem: d.draw(write.rows_of(con, d.query)) for d in write.drawings(con)}


def seen(figure: Figure) -> tuple[np.ndarray, dict[Text, Bbox], Bbox]:
    """The picture as grey levels from 0 to 1, each word's place in it, and its frame; pixels."""
    with style.house_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        grey = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2) / 255
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        return grey, {t: t.get_window_extent(canvas.get_renderer()) for t in texts if drawn(t)}, figure.bbox


def drawn(text: Text) -> bool:
    """Ticks beyond the axis keep their label but are not drawn."""
    axes = text.axes
    if axes is None or text not in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        return True
    low, high = sorted(axes.get_xlim() if text in axes.get_xticklabels() else axes.get_ylim())
    place = text.get_position()[0 if text in axes.get_xticklabels() else 1]
    return bool(low <= place <= high)


def faults(figure: Figure) -> list[str]:
    """What a reader would stumble over: nothing or too much in the picture, words cut off or over each other."""
    grey, places, frame = seen(figure)
    found = []
    ink = float((grey < 0.9).mean())
    if not 0.002 < ink < 0.4:
        found.append(f"ink {ink:.3f}")
    if figure.get_figwidth() != style.WIDTH or figure.get_figheight() > TALLEST:
        found.append(f"size {figure.get_size_inches()}")
    for text, box in places.items():
        if box.x0 < frame.x0 or box.y0 < frame.y0 or box.x1 > frame.x1 or box.y1 > frame.y1:
            found.append(f"cut off: {text.get_text()!r}")
    for (one, a), (other, b) in combinations(places.items(), 2):
        # two pixels: descenders of one line and ascenders of the next
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 0 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2:
            found.append(f"over each other: {one.get_text()!r}, {other.get_text()!r}")
    return found


def test_every_figure_of_the_reference_study_is_whole_and_readable(reference: dict[str, Figure]) -> None:
    assert {"flow", "km_pfs1", "waterfall_first_line", "spider_irradiated", "swimmer", "forest"} <= reference.keys()
    assert {stem: found for stem, figure in reference.items() if (found := faults(figure))} == {}


def test_crowds_and_single_patients_are_readable(extreme: dict[str, Figure]) -> None:
    assert {name: found for name, figure in extreme.items() if (found := faults(figure))} == {}


def test_a_fault_is_found() -> None:
    figure = style.blank("Title", "Title", 2)
    figure.text(0.9, 0.5, "beyond the right edge")
    figure.text(0.5, 0.5, "one word")
    figure.text(0.52, 0.5, "another")
    found = " ".join(faults(figure))
    assert "cut off: 'beyond" in found and "over each other: 'one word'" in found
    assert faults(Figure(figsize=(5, 2)))[:2] == ["ink 0.000", "size [5. 2.]"]


def lightness(colour: str) -> float:
    """CIE L* of a colour: what a grey print keeps of it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_responses_are_told_apart_in_grey_and_without_red_and_green() -> None:
    """By lightness, which a print keeps and every eye sees; what is not evaluable is hatched besides."""
    coloured = sorted(lightness(c) for code, c in style.RESPONSES.items() if code not in style.HATCHED)
    assert min(b - a for a, b in pairwise(coloured)) > 14
    assert 100 - coloured[-1] > 14  # and from the paper


def test_figures_and_their_rows_stand_side_by_side(demo_home: Path) -> None:
    folder = Home(demo_home).reports / "study" / "figures"
    with closing(open_read(Home(demo_home))) as con:
        for d in write.drawings(con):
            assert {p.suffix for p in folder.glob(f"{d.stem}.*")} == {".svg", ".png", ".csv"}
            told = con.execute(f"select count(*) from read_csv('{folder / d.stem}.csv', header = true)").fetchall()
            assert told == [(len(write.rows_of(con, d.query)),)]


def test_a_figure_is_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        with style.house_style():
            style.save(sizes.waterfall([bar(1, -40.0, "PR", 1)], "first_line"), tmp_path / folder / "x", "note")
    for name in ("x.svg", "x.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def shown(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(Text))


def test_a_sample_says_that_it_is_one(extreme: dict[str, Figure]) -> None:
    assert "Shown: 100 of 1,000,000, evenly spaced by best change." in shown(extreme["waterfall: growth"])
    assert "Growth beyond +100% is cut." in shown(extreme["waterfall: growth"])
    assert "100 patients of 1,000,000" in shown(extreme["swimmer: a crowd"])
    assert "Shown" not in shown(extreme["waterfall: one"]) and "(1)" in shown(extreme["waterfall: one"])


def test_a_median_that_is_not_reached_is_said_and_not_drawn(extreme: dict[str, Figure]) -> None:
    assert "2 patients, 2 events; median not reached" in shown(extreme["km: censored"])
    assert "1 lesion, 1 event; median 1.00 months" in shown(extreme["km: lesions"])
    dashed = [line for line in extreme["km: censored"].axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == []


def test_every_patient_of_a_waterfall_is_seen_also_without_change() -> None:
    with style.house_style():
        figure = sizes.waterfall([bar(1, 12.0, "SD", 3), bar(2, 0.0, "SD", 3), bar(3, -40.0, "PR", 3)], "first_line")
    bars = [patch.get_bbox() for patch in figure.axes[0].patches]
    assert [abs(box.y1 - box.y0) for box in bars] == pytest.approx([12.0, 1.2, 40.0])


def test_an_event_stands_at_its_time() -> None:
    with style.house_style():
        figure = swimmer.swimmer(lanes(2, 2))
    ends = [line.get_xydata() for line in figure.axes[0].lines if line.get_marker() in ("X", ">")]
    assert [tuple(*points) for points in ends] == [(60.0, 0.0), (60.0, 1.0)]
    assert all(line.get_transform() == figure.axes[0].transData for line in figure.axes[0].lines)


def test_what_is_said_of_the_censored_is_what_is_drawn() -> None:
    few, many = ([{"n_censored": 1}] * n for n in (3, survival.MANY + 1))
    assert survival._ticks([few, []]) == "Ticks: censored."
    assert survival._ticks([many]) == "Censored times are too many to mark."
    assert (
        survival._ticks([few, many]) == "Ticks: censored; of curves without them censored times are too many to mark."
    )
    assert survival._ticks([[{"n_censored": 0}]]) == ""


def test_one_patient_has_a_median_and_no_limits() -> None:
    rows = curve([4.0], 1, 1)
    alone = survival.kaplan_meier(rows, ENDPOINT, summary(1, 4.0) | {"median_lcl": None}, 95)
    said = shown(alone)
    assert "median 4.00 months (95% CI not estimable)" in said and "Band:" not in said


def test_the_numbers_at_risk_are_those_just_before_each_month(reference: dict[str, Figure]) -> None:
    """28 patients; the first progression comes after two months, the last at thirty."""
    texts = [t.get_text() for t in reference["km_pfs1"].texts]
    at_risk = texts[texts.index("No. at risk") + 1 :]
    numbers = [int(t) for t in at_risk if t.isdigit()]
    assert numbers[0] == 28 and numbers == sorted(numbers, reverse=True) and len(numbers) == 11


@pytest.mark.parametrize(
    ("longest", "ticks"),
    [(0, [0, 1]), (10, list(range(11))), (10.5, [0, 2, 4, 6, 8, 10, 12]), (30, list(range(0, 31, 3)))],
)
def test_months_are_counted_in_steps_that_people_use(longest: float, ticks: list[int]) -> None:
    assert timeline.months(longest) == ticks


@pytest.mark.parametrize(
    ("value", "text"), [(20, "+20"), (-30, "\N{MINUS SIGN}30"), (0, "0"), (-0.4, "0"), (2.5, "+3")]
)
def test_a_change_has_a_sign(value: float, text: str) -> None:
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.5, "p = 0.50"), (0.0104, "p = 0.01"), (0.004, "p = 0.004"), (1e-9, "p < 0.001")]
)
def test_a_p_value_is_not_more_exact_than_it_is(p: float, text: str) -> None:
    assert words.p_value(p) == text


def test_every_group_has_its_curve_and_its_numbers(reference: dict[str, Figure]) -> None:
    """Three oncology centres of 12, 9 and 7 patients, and the two sexes."""
    texts = shown(reference["km_pfs1_by_group"]).split("\n")
    assert {"Oncology centre", "ME1", "ME2", "ME3", "12", "9", "7", "Sex", "female", "male", "22"} <= {*texts}
    curves = [line for axes in reference["km_pfs1_by_group"].axes for line in axes.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 5


def test_competing_events_and_the_free_make_up_everybody(extreme: dict[str, Figure]) -> None:
    ends = [t.split(":")[-1] for t in shown(extreme["incidence: narrow"]).split("\n") if t.endswith("%")]
    assert sorted(int(end.strip(" %\N{NO-BREAK SPACE}")) for end in ends) == [1, 1, 1, 1, 96]
