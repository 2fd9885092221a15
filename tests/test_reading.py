"""What a page shows of a row is what the row says, whatever signs it has."""

import pytest

from scripts.explain import as_html
from scripts.reading import (
    DECIDED,
    OTHER,
    THRESHOLD,
    chart,
    chips,
    differences,
    differences_of_parts,
    highest,
)
from scripts.reading import paragraphs as paragraphs_of

ROW = {"emotions": ["joy"], "scores": {"joy": 0.9, "anger": 0.2, "neutral": 0.31}}
LEAST = {"joy": 0.4, "anger": 0.3, "neutral": 0.5}
LIGHT, DARK, BLACK, WHITE = (255, 255, 255), (25, 24, 22), (49, 51, 63), (250, 250, 250)


def test_chips_have_label_and_score_and_escape_them():
    one = chips(["a<b"], {"a<b": 0.876})
    assert ">a&lt;b <strong>0.88</strong></span>" in one
    assert chips(["joy", "anger"]).count("<span") == 2 and "strong" not in chips(["joy"])
    assert paragraphs_of(["1 < 2", "*"]) == "<p>1 &lt; 2</p><p>*</p>"


def test_highest_scores_in_any_row_come_first():
    other = {"emotions": [], "scores": {"anger": 0.95, "more": 0.1}}
    assert highest([ROW, other]) == ["anger", "joy", "neutral", "more"]
    assert highest([ROW, other], 2) == ["anger", "joy"]
    assert highest([]) == []


def test_chart_has_scores_thresholds_and_decisions_in_the_order_asked_for():
    spec = chart(ROW, LEAST, ["neutral", "unknown", "joy"]).to_dict()
    (rows,) = spec["datasets"].values() if "datasets" in spec else [spec["data"]["values"]]
    assert rows == [
        {"label": "neutral 0.31", "score": 0.31, "threshold": 0.5, "decided": "no"},
        {"label": "✓ joy 0.90", "score": 0.9, "threshold": 0.4, "decided": "yes"},
    ]
    bars, ticks = spec["layer"]
    assert bars["encoding"]["x"]["scale"] == {"domain": [0, 1]}
    assert bars["encoding"]["y"]["sort"] is None
    assert bars["encoding"]["color"]["scale"] == {
        "domain": ["yes", "no"],
        "range": [DECIDED, OTHER],
    }
    assert ticks["encoding"]["x"]["field"] == "threshold"


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (["joy", "anger"], ["anger"], ["Both decide anger.", "Only a: joy."]),
        (["joy"], ["joy"], ["Both decide joy."]),
        (["joy"], [], ["They have no decision in common.", "Only a: joy."]),
        (
            ["joy"],
            ["neutral", "anger"],
            ["They have no decision in common.", "Only a: joy.", "Only b: neutral, anger."],
        ),
        ([], [], ["Neither decides anything."]),
    ],
)
def test_differences_name_who_decides_what_and_the_widest_gap(one, other, said):
    rows = [
        {**ROW, "emotions": one},
        {"emotions": other, "scores": {"joy": 0.8, "anger": 0.75, "neutral": 0.3}},
    ]
    widest = "Their scores differ most for anger: 0.20 and 0.75."
    assert differences(rows, ["a", "b"]) == [*said, widest]


def test_pipelines_of_other_labels_have_no_gap():
    other = {"emotions": ["rain"], "scores": {"rain": 0.8}}
    assert differences([ROW, other], ["a", "b"])[-1] == "Only b: rain."


def marked(*tags: str, **more: str) -> dict:
    return {"text": "Ada in Oslo", "tokens": ["Ada", "in", "Oslo"], "tags": list(tags), **more}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (
            marked("who", "", "where"),
            marked("who", "", "who"),
            ["Both mark Ada (who).", "Only a: Oslo (where).", "Only b: Oslo (who)."],
        ),
        (
            marked("who", "", ""),
            marked("", "in", ""),
            ["They mark nothing in common.", "Only a: Ada (who).", "Only b: in (in)."],
        ),
        (marked("who", "", ""), marked("who", "", ""), ["Both mark Ada (who)."]),
        (marked("", "", ""), marked("", "", ""), ["Neither marks anything."]),
        (
            marked("who", "", "", target="x"),
            marked("", "", "", target="y"),
            ["They write different texts.", "They mark nothing in common.", "Only a: Ada (who)."],
        ),
        ({"text": "", "target": "x"}, {"text": "", "target": "x"}, ["Both write the same text."]),
        (
            {"text": "Ada", "target": "x"},
            marked("who", "", "", target="x"),
            ["Both write the same text."],
        ),
    ],
)
def test_readings_that_mark_or_write_differ_by_parts_and_texts(one, other, said):
    assert differences_of_parts([one, other], ["a", "b"]) == said


def luminance(colour: tuple[float, ...]) -> float:
    parts = [c / 255 for c in colour]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours by WCAG 2.1, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("colour", [DECIDED, OTHER, THRESHOLD])
def test_marks_stand_out_from_a_light_and_a_dark_page(page, colour):
    rgb = tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
    assert contrast(rgb, page) >= 3


@pytest.mark.parametrize(("page", "ink"), [(LIGHT, BLACK), (DARK, WHITE)])
@pytest.mark.parametrize("effect", [1.0, -1.0])
def test_the_strongest_word_can_be_read_on_a_light_and_a_dark_page(page, ink, effect):
    shown = as_html({"label": "joy", "score": 1.0, "parts": [["so", effect]]})
    *rgb, alpha = map(float, shown.split("rgba(")[1].split(")")[0].split(","))
    behind = tuple(alpha * c + (1 - alpha) * p for c, p in zip(rgb, page, strict=True))
    assert contrast(ink, behind) >= 4.5
