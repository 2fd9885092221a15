"""One table over experiments: seeds are grouped, means and deviations are right."""

import pytest
import srsly

from scripts.compare import as_markdown, compare


def write_metrics(folder, **macro):
    for name, value in macro.items():
        result = {
            "macro_f1": value,
            "micro_f1": 0.5,
            "views": {"ekman": {"macro_f1": 0.6}},
            "docs_per_second": 1234.4,
            "conditions": {"training": {"seconds": 90}},
        }
        srsly.write_json(folder / f"{name.replace('_', '-')}.json", result)


def test_seeds_become_one_row_with_mean_and_deviation_best_first(tmp_path):
    write_metrics(tmp_path, cnn_seed0=0.4, cnn_seed1=0.5, cnn_seed12=0.6, bert=0.7)
    write_metrics(tmp_path, **{"cnn_seed0.test": 0.1})
    srsly.write_json(tmp_path / "benchmark_speed.json", {"results": {}})
    rows = compare(tmp_path, "dev")
    assert list(rows) == ["bert", "cnn"]
    assert rows["cnn"]["seeds"] == "3"
    assert rows["cnn"]["macro-F1"] == "0.500 ± 0.100"
    assert rows["bert"]["macro-F1"] == "0.700"
    assert rows["cnn"]["Ekman-7"] == "0.600 ± 0.000"
    assert rows["cnn"]["mAP"] == ""
    assert (rows["cnn"]["minutes"], rows["cnn"]["posts/s"], rows["cnn"]["MB"]) == (
        "1.5",
        "1,234",
        "",
    )
    assert compare(tmp_path, "test")["cnn"]["macro-F1"] == "0.100"


def test_markdown_has_a_header_and_a_line_per_experiment():
    rows = {"cnn": {"seeds": "1", "macro-F1": "0.500"}}
    assert as_markdown(rows) == (
        "| config | seeds | macro-F1 |\n| --- | --- | --- |\n| cnn | 1 | 0.500 |"
    )


def test_a_folder_without_metrics_is_named(tmp_path):
    with pytest.raises(ValueError, match="no metrics of test"):
        compare(tmp_path, "test")
