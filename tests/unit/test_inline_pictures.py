"""Pictures inside a page: well-formed, with every number also in words, and harmless."""

import datetime
import xml.etree.ElementTree as ET

from pipelines.figures import inline

WORDS = {"trend": "Trend", "queries_open": "open", "queries_new": "new", "queries_resolved": "resolved"}
KINDS = {kind: kind for kind in inline.MARKS} | {"timeline": "Data"}
DAY = datetime.date(2015, 3, 1)


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(svg).iter() if e.tag.endswith("text")]


def rows(*n_open: int) -> list[dict[str, object]]:
    return [
        {"day": f"2015-0{i}-01", "queries_open": n, "queries_new": 1, "queries_resolved": 2}
        for i, n in enumerate(n_open, 1)
    ]


def test_a_trend_shows_and_says_every_delivery() -> None:
    svg = inline.trend(rows(7, 3), WORDS)
    assert {"2015-01-01", "2015-02-01", "7", "3"} <= set(texts(svg))
    label = ET.fromstring(svg).get("aria-label") or ""
    assert label == "Trend. 2015-01-01: open 7, new 1, resolved 2; 2015-02-01: open 3, new 1, resolved 2"


def test_no_bar_leaves_the_picture() -> None:
    for svg in (
        inline.trend(rows(0), WORDS),
        inline.trend(rows(*range(9)), WORDS),
        inline.spark(["d"], [4], 4, "Open"),
    ):
        root = ET.fromstring(svg)
        bars = [e for e in root.iter() if e.tag.endswith("rect")]
        assert bars and all(float(b.get("height", "0")) >= 0 and float(b.get("y", "0")) >= 0 for b in bars)


def test_a_share_of_nearly_all_is_not_printed_as_all() -> None:
    svg = inline.heat(["a"], ["2015-01-01", "2015-02-01"], {(0, 0): 99.96}, "Filled")
    assert "99" in texts(svg) and "100" not in texts(svg)
    assert "–" in texts(svg)  # never due in the second delivery


def test_a_name_that_would_run_does_not() -> None:
    name = '"><script>alert(1)</script>'
    event = {"kind": "assessment", "start_dt": DAY, "end_dt": None}
    (svg,) = inline.timelines({name: [event]}, KINDS)
    assert "<script" not in svg and name in texts(svg)
    assert "<script" not in inline.heat([name], [name], {(0, 0): 1.0}, name)


def test_a_page_of_lanes_follows_another() -> None:
    event = {"kind": "drug", "start_dt": DAY, "end_dt": DAY}
    drawn = inline.timelines({f"P{i}": [event] for i in range(inline.LANES + 1)}, KINDS)
    assert [len([t for t in texts(svg) if t.startswith("P")]) for svg in drawn] == [inline.LANES, 1]


def test_every_kind_has_a_look_of_its_own() -> None:
    events = [{"kind": kind, "start_dt": DAY, "end_dt": None} for kind in inline.MARKS]
    (svg,) = inline.timelines({"P1": events}, KINDS)
    assert set(inline.MARKS) <= set(texts(svg))
    assert len(set(inline.MARKS.values())) == len({shape for shape, _ in inline.MARKS.values()}) == len(inline.MARKS)
