import json
import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from triscope.app.line_chart import line_chart
from triscope.app.report import main, write_report
from triscope.app.runs import read_runs
from triscope.data.batch import Row
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.evaluation.predictions import Prediction, write_predictions

METRICS = """\
learning/gradient_norm,"learning/rate/adapter_image+adapter_region+aggregator+qformer+soft_prompt, decay 0",\
speed/data_wait_share,speed/rows_per_second,step,train/loss,train/loss_pointing,train/loss_vqa,validation/loss_vqa,validation/region/pointing_acc@0.5
1.5,0.001,0.02,12.5,19,6.5,6.4,3.0,,
0.8,0.002,0.03,13.5,39,2.5,2.25,2.0,,
,,,,39,,,,1.0,0.31
"""
PARTS = """\
part           | state   | parameters | precision | learning rate | from
---------------+---------+------------+-----------+---------------+-------------------
bridge         | trained | 1,024      | float32   | 0.0003        | its initialisation
language       | frozen  | 8,192      | bfloat16  |               | the base model
1,024 of 9,216 parameters train (11.1%)
"""
RESULTS = {
    "scenes": {
        "metrics": {"region/pointing_acc@0.5": 0.81, "region/pointing_mean_iou": 0.22, "image/caption_cider": 87.65},
        "intervals": {
            "region/pointing_acc@0.5": [0.77, 0.85],
            "region/pointing_mean_iou": [0.19, 0.25],
            "image/caption_cider": [80.1, 95.2],
        },
        "items": {"region/pointing_acc@0.5": 300, "region/pointing_mean_iou": 300, "image/caption_cider": 120},
        "controls": {"blind": {"region/pointing_acc@0.5": 0.05}, "shuffled": {"region/pointing_acc@0.5": 0.11}},
        "guesses": {
            "region/pointing_acc@0.5": {"any_object": 0.36, "constant": 0.04},
            "region/pointing_mean_iou": {"constant": 0.24},
            "image/caption_cider": {"constant": 12.5},
        },
        "learned": {"region/pointing_acc@0.5": True, "region/pointing_mean_iou": False, "image/caption_cider": True},
    }
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "2_region")


def write_run(folder: Path) -> Path:
    """Everything that a run can leave."""
    (folder / "pictures" / "board").mkdir(parents=True)
    (folder / "pictures" / "routing").mkdir()
    (folder / "config.yaml").write_text("model:\n  class_path: triscope.stages.RegionStage\nnote: <b>5 & 6</b>\n")
    (folder / "code.json").write_text('{"version": "0.0.9", "files": "0123456789ab", "commit": "abcdef-dirty"}')
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "parts.txt").write_text(PARTS)
    row = Row(key="a:0", task="yes_no", level=Level.REGION, prompt="Is <region:1> a dog?", answers=("yes",))
    write_predictions(folder / "predictions" / "scenes.jsonl", [Prediction(row, "no & yes")])
    read = {"split": "train", "folder": "data/dogs", "samples": 2400, "images": 2400, "conversations": 4800}
    (folder / "sets.json").write_text(json.dumps([read | {"tasks": "yes_no 4800", "fingerprint": "0123456789abcdef" * 4}]))
    (folder / "dropped.txt").write_text("rank 0, step 3: sample <7>: found no picture\n")
    (folder / "results.json").write_text(json.dumps(RESULTS))
    (folder / "ATTRIBUTION").write_text("Drawings by <Ada>: https://creativecommons.org/licenses/by-sa/4.0/\n")
    for step, color in ((20, "red"), (40, "blue")):
        Image.new("RGB", (8, 8), color).save(folder / "pictures" / "board" / f"step_{step:06d}.png")
    Image.new("RGB", (8, 8), "green").save(folder / "pictures" / "routing" / "step_000040.png")
    return folder


def report(*runs: Path, **options: Path) -> str:
    return write_report(runs, runs[0].parent / "out" / "report.html", **options).read_text()


def rows_of(html: str) -> dict[str, str]:
    """Table rows as HTML, by the text of their first cell."""
    return {unescape(head): row for row, head in re.findall(r'(<tr><th scope="row">(.*?)</th>.*?</tr>)', html)}


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html))


def test_every_score_stands_beside_its_interval_controls_and_best_guess(run_folder: Path) -> None:
    rows = rows_of(report(run_folder))

    pointing = words(rows["region/pointing_acc@0.5"])
    for figure in ("0.810", "0.770–0.850", "0.050", "0.110", "0.360", "any object", "300"):
        assert figure in pointing
    assert "87.7" in words(rows["image/caption_cider"])
    assert "–" in re.findall(r'data-label="blind">(.*?)<', rows["region/pointing_mean_iou"])


def test_only_shares_are_drawn_on_a_line_from_0_to_1(run_folder: Path) -> None:
    rank = {"metrics": 10.2, "intervals": [8.6, 11.8], "items": 20, "guesses": {"constant": 5.5}, "learned": False}
    scenes = {what: {**RESULTS["scenes"][what], "image/dialogue_mean_rank": value} for what, value in rank.items()}
    (run_folder / "results.json").write_text(json.dumps({"scenes": RESULTS["scenes"] | scenes}))
    rows = rows_of(report(run_folder))
    drawn = {name for name, row in rows.items() if 'class="range"' in row}
    assert drawn == {"region/pointing_acc@0.5", "region/pointing_mean_iou"} and "10.200" in rows["image/dialogue_mean_rank"]


def test_what_no_control_was_asked_about_is_unknown(run_folder: Path) -> None:
    results = json.loads((run_folder / "results.json").read_text())
    results["scenes"] |= {"controls": {}, "learned": dict.fromkeys(results["scenes"]["learned"])}
    (run_folder / "results.json").write_text(json.dumps(results))
    html = report(run_folder)
    assert all('class="no">unknown<' in rows_of(html)[score] for score in results["scenes"]["metrics"])
    assert "0 of 3 scores learned" in html


def test_what_was_not_learned_is_marked_and_the_word_is_explained(run_folder: Path) -> None:
    html = report(run_folder)
    rows = rows_of(html)

    assert 'class="yes">yes<' in rows["region/pointing_acc@0.5"]
    assert 'class="no">no<' in rows["region/pointing_mean_iou"]
    assert "2 of 3 scores learned" in html
    assert "counts as learned when the lower end of its 95 % interval lies above every guess" in html


def test_nothing_is_loaded_from_elsewhere(run_folder: Path) -> None:
    html = report(run_folder)

    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    outside = [source for source in sources if not source.startswith(("#", "data:image/png;base64,"))]
    assert outside == ["https://creativecommons.org/licenses/by-sa/4.0/"]
    assert "<script" not in html and "url(" not in html and "@import" not in html
    assert "default-src 'none'" in html


def test_text_of_a_run_is_shown_as_text(run_folder: Path) -> None:
    html = report(run_folder)

    assert "<b>5" not in html and "&lt;b&gt;5 &amp; 6&lt;/b&gt;" in html
    assert "sample &lt;7&gt;: found no picture" in html
    assert "Drawings by &lt;Ada&gt;" in html


def test_curves_parts_and_speed_are_shown(run_folder: Path) -> None:
    html = report(run_folder)

    charts = re.findall(r'<figure class="chart"><figcaption>(.*?)</figcaption>', html)
    scores = ["region/pointing"]
    assert charts == ["loss", "train loss by task", "validation loss by task", *scores, "gradient norm", "learning rate"]
    assert "acc@0.5 <b>0.31</b>" in html
    assert "its initialisation" in words(rows_of(html)["bridge"])
    assert "1,024 of 9,216 parameters train" in html
    assert "<b>13</b>rows a second" in html


def colors(chart: str) -> dict[str, str]:
    """The colour of each name in a chart's legend."""
    found = re.findall(r'<line [^>]*stroke="(#\w+)"[^>]*/></svg>(\w+)', chart.partition('class="legend"')[2])
    return {name: color for color, name in found}


def test_the_code_that_trained_a_run_is_told(run_folder: Path) -> None:
    assert "Code: version 0.0.9, files 0123456789ab, commit abcdef-dirty" in report(run_folder)
    (run_folder / "code.json").unlink()
    assert "Code: not written down" in report(run_folder)


def test_answers_of_a_test_and_the_data_that_was_read_are_tables(run_folder: Path) -> None:
    html = report(run_folder)

    assert "test set scenes: 1 of 1 answers" in html
    answer = words(rows_of(html)["Is <region:1> a dog?"])
    assert [part.strip() for part in answer.split("  ") if part] == ["Is <region:1> a dog?", "no & yes", "yes", "yes_no", "a:0"]
    told = words(rows_of(html)["data/dogs"])
    assert "2,400" in told and "yes_no 4800" in told and "0123456789ab" in told and "cdef" not in told


def test_a_name_has_one_colour_in_all_charts_that_are_read_together(run_folder: Path) -> None:
    charts = dict(re.findall(r'<figure class="chart"><figcaption>(.*?)</figcaption>(.*?)</figure>', report(run_folder)))
    train, validation = (colors(charts[f"{split} loss by task"]) for split in ("train", "validation"))
    assert len(train) == 2 and validation == {"vqa": train["vqa"]}


def test_of_two_values_of_a_step_a_curve_shows_that_of_the_resumed_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n1,4.0\n2,3.0\n3,2.5\n2,2.0\n3,1.0\n")
    (run,) = read_runs([tmp_path])
    assert run.curves["train/loss"] == [(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)]


def test_the_last_board_is_embedded_with_the_meaning_of_its_colours(run_folder: Path) -> None:
    html = report(run_folder)

    assert "After step 40:" in html and "After step 20:" not in html
    assert all(meaning in html for meaning in ("true box", "predicted box", "region asked about"))
    assert html.count("data:image/png;base64,") == 2  # board and routing


def test_missing_pieces_are_named(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_text("seed_everything: 0\n")

    html = report(tmp_path / "bare")

    assert "no test was run" in html
    missing = (
        "No metrics were logged",
        "No sets were",
        "No board was drawn",
        "No table of parts",
        "No speed",
        "None was recorded",
    )
    assert all(said in html for said in missing)
    assert "Routing" not in html and "Answers" not in html


def test_several_runs_are_compared_where_they_have_the_same_scores(run_folder: Path) -> None:
    other = write_run(run_folder.parent / "3_mixture")
    results = json.loads((other / "results.json").read_text())
    results["scenes"]["metrics"]["region/pointing_acc@0.5"] = 0.905
    (other / "results.json").write_text(json.dumps(results))

    html = report(run_folder, other)

    comparison = html[html.index("Runs side by side") : html.index('id="run-0"')]
    row = rows_of(comparison)["region/pointing_acc@0.5"]
    assert re.findall(r'data-label="(.*?)">(.*?)<', row) == [("2_region", "0.810"), ("3_mixture", "0.905")]
    assert "<figcaption>train/loss</figcaption>" in comparison
    assert [f'id="run-{number}"' in html for number in range(3)] == [True, True, False]


def test_runs_that_were_tested_on_several_sets_are_compared_set_by_set(run_folder: Path) -> None:
    other = write_run(run_folder.parent / "3_mixture")
    told = {"name": "refcoco", "version": 2, "split": "testA"}
    for folder, value in ((run_folder, 0.25), (other, 0.75)):
        second = RESULTS["scenes"] | {"metrics": {"region/pointing_acc@0.5": value}, "benchmark": told}
        (folder / "results.json").write_text(json.dumps(RESULTS | {"photos": second}))

    html = report(run_folder, other)

    comparison = html[html.index("Runs side by side") : html.index('id="run-0"')]
    scenes, photos = (rows_of(part) for part in comparison[comparison.index("test set scenes") :].split("test set photos"))
    for rows, values in ((scenes, ["0.810", "0.810"]), (photos, ["0.250", "0.750"])):
        assert re.findall(r'data-label=".*?">(.*?)<', rows["region/pointing_acc@0.5"]) == values
    assert "test set photos, benchmark refcoco 2, split testA" in html


def test_scores_of_released_parts_stand_beside_those_of_the_run(run_folder: Path) -> None:
    released = run_folder.parent / "released.json"
    released.write_text(json.dumps({"other set": {"metrics": {"region/pointing_acc@0.5": 0.876}}}))

    rows = rows_of(report(run_folder, released=released))

    assert 'data-label="released parts">0.876<' in rows["region/pointing_acc@0.5"]
    assert 'data-label="released parts">–<' in rows["region/pointing_mean_iou"]


def test_a_folder_of_runs_stands_for_its_runs(run_folder: Path, capsys: pytest.CaptureFixture) -> None:
    write_run(run_folder.parent / "1_image")

    main([str(run_folder.parent)])

    out = Path(capsys.readouterr().out.strip())
    assert out == run_folder.parent / "report.html"
    assert re.findall(r'<h2 id="run-\d+">(\w+)', out.read_text()) == ["1_image", "2_region"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"found none of config\.yaml, .* expected the folder of a run"):
        write_report([tmp_path], tmp_path / "report.html")
    with pytest.raises(ConfigurationError, match="no such folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_a_broken_results_file_is_named(run_folder: Path) -> None:
    (run_folder / "results.json").write_text("{")

    with pytest.raises(ConfigurationError, match=r"results\.json: found text that is not JSON"):
        report(run_folder)


def test_a_chart_leaves_out_and_counts_what_is_not_finite() -> None:
    chart = line_chart("loss", {"train": [(0, 2.0), (10, float("nan")), (20, 1.0)]}, "nats a token")

    assert chart.count("<circle") == 2
    assert "(1 not finite)" in chart


def test_steps_are_told_as_whole_numbers() -> None:
    chart = line_chart("loss", {"train": [(0, 2.0), (2, 1.0)]}, "nats a token")

    assert re.findall(r'text-anchor="middle">(.*?)<', chart) == ["0", "1", "2"]


def test_a_long_curve_is_thinned_to_what_can_be_seen() -> None:
    chart = line_chart("loss", {"train": [(step, 1.0) for step in range(5000)]}, "nats a token")

    assert len(re.search(r'<polyline points="(.*?)"', chart)[1].split()) <= 300


def test_what_each_picture_is_worth_is_a_table_of_its_own(run_folder: Path) -> None:
    assert "What each picture is worth" not in write_report([run_folder], run_folder / "plain.html").read_text()
    pictures = {
        "last_only": {"image/shared_element_acc": {"value": 0.31, "all": 0.62, "items": 80}},
        "without_3": {"image/shared_element_acc": {"value": 0.5, "all": 0.7, "items": 40}},
    }
    (run_folder / "results.json").write_text(json.dumps({"scenes": {**RESULTS["scenes"], "pictures": pictures}}))
    text = re.sub("<[^>]+>", " ", write_report([run_folder], run_folder / "report.html").read_text())
    assert "What each picture is worth" in text
    assert re.search(r"last only\s+without 3.*image/shared_element_acc\s+0\.310\s+of 0\.620, 80 items", text, re.DOTALL)
