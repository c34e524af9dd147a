"""Predictions as the benchmarks' own evaluations and servers read them.

    file              of                                         content
    vqa.json          VQA v2, OK-VQA                             [{question_id, answer}]
    aokvqa-da.json    A-OKVQA, freely                            {question_id: answer}
    aokvqa-mc.json    A-OKVQA, out of four                       {question_id: choice}
    gqa.json          GQA, plain and about regions               [{questionId, prediction}], as `eval.py` compares it
    captions.json     COCO, Karpathy's splits, NoCaps, TextCaps  [{image_id, caption}]
    science_qa.json   ScienceQA                                  {results: {problem: choice}, outputs: {problem: text}};
                                                                 -1 where no choice is named
    visdial.json      VisDial, where candidates were ranked      [{image_id, round_id, ranks}], rank 1 for the likeliest
    mmbench.xlsx      MMBench                                    index, question, A to D, prediction; without openpyxl
                                                                 (`pip install triscope[scores]`) as mmbench.tsv
    mme/CATEGORY.txt  MME                                        picture, question, truth, answer, with tabulators
    pope.jsonl        POPE                                       {question, answer}, in the order of its questions
    nlvr2.csv         NLVR2                                      identifier,true or identifier,false
    boxes.json        RefCOCO, RefCOCO+, RefCOCOg                [{ref_id, sent_id, bbox}], x, y, width, height in pixels
                                                                 as REFER has boxes (no server asks for them); none: 0
    expressions.json  the same, expressions of true boxes        [{ref_id, sent}], for REFER's `RefEvaluation`
    fine_eval.jsonl   FineEval                                   {image, instruction, output}, as PVIT's authors have it

What a row is called in its data set stands in `Row.id`; rows without it, of shards converted before there was one, are left out.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from triscope.data.boxes import BoxSpace
from triscope.data.folder import write_whole
from triscope.data.region_text import write_region
from triscope.data.sample import MARKER
from triscope.evaluation.matching import chosen, first_yes_no, official_gqa_answer
from triscope.evaluation.predictions import Prediction, distinct

CHOICES_SHOWN = "ABCD"  # columns of MMBench's table
NO_CHOICE = -1


@dataclass(frozen=True)
class Layout:
    """What is written for the rows of some data sets.

    Args:
        file: its name, or that of a folder.
        sources: names of the data sets, as `python -m data_pipelines convert` has them.
        tasks: of the rows that it takes; empty for all.
        write: writes the file from the path and the predictions, sorted by question.
        takes: which predictions it takes besides.
    """

    file: str
    sources: frozenset[str]
    tasks: frozenset[str]
    write: Callable[[Path, Sequence[Prediction]], None]
    takes: Callable[[Prediction], bool] = lambda prediction: bool(prediction.row.id)


def write_submissions(folder: Path | str, predictions: Sequence[Prediction]) -> list[Path]:
    """Write every layout that some of the predictions of a set have.

    Args:
        folder: of the set; made if there is something to write.
        predictions: of the model as it is, not under a control.

    Returns:
        the files and folders written.
    """
    folder = Path(folder)
    ordered = sorted(distinct(predictions), key=lambda prediction: (_natural(prediction.row.id), prediction.row.key))
    written = []
    for layout in LAYOUTS:
        rows = [prediction for prediction in ordered if _is_of(prediction, layout)]
        if rows:
            folder.mkdir(parents=True, exist_ok=True)
            layout.write(folder / layout.file, rows)
            written.append(folder / layout.file)
    return written


def _is_of(prediction: Prediction, layout: Layout) -> bool:
    row = prediction.row
    return row.source in layout.sources and row.task in (layout.tasks or {row.task}) and layout.takes(prediction)


def _natural(text: str) -> list[tuple[int, str]]:
    """A key by which numbers in names are sorted as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


# What is written of a row ---------------------------------------------------------------------------------------------


def _vqa(prediction: Prediction) -> dict[str, Any]:
    return {"question_id": int(prediction.row.id), "answer": prediction.text}


def _gqa(prediction: Prediction) -> dict[str, Any]:
    return {"questionId": prediction.row.id, "prediction": official_gqa_answer(prediction.text)}


def _caption(prediction: Prediction) -> dict[str, Any]:
    """COCO and NoCaps number their pictures; those of TextCaps have names, even where one consists of digits."""
    image = prediction.row.id
    return {"image_id": image if prediction.row.source == "textcaps" else int(image), "caption": prediction.text}


def _ranks(prediction: Prediction) -> dict[str, Any]:
    """Rows are numbered `PICTURE/ROUND`, rounds from 1; of equally likely candidates the first is ranked first."""
    image, _, number = prediction.row.id.partition("/")
    likelihoods = prediction.log_likelihoods
    order = sorted(range(len(likelihoods)), key=lambda candidate: -likelihoods[candidate])
    ranks = {candidate: rank for rank, candidate in enumerate(order, start=1)}
    return {"image_id": int(image), "round_id": int(number), "ranks": [ranks[candidate] for candidate in range(len(order))]}


def _box(prediction: Prediction) -> dict[str, Any]:
    row, box = prediction.row, prediction.box
    reference, _, sentence = row.id.partition("-")
    bbox = [0.0, 0.0, 0.0, 0.0]
    if box is not None:
        x1, y1, x2, y2 = box.to(BoxSpace.PIXELS, *row.sizes[row.box_image or 0]).corners
        bbox = [round(number, 2) for number in (x1, y1, x2 - x1, y2 - y1)]
    return {"ref_id": int(reference), "sent_id": int(sentence), "bbox": bbox}


def _expression(prediction: Prediction) -> dict[str, Any]:
    return {"ref_id": int(prediction.row.id), "sent": prediction.text}


def _instruction(prediction: Prediction) -> dict[str, Any]:
    """The instruction as it was published, its regions as `<Region><L120><L80><L431><L905></Region>`."""
    row = prediction.row
    regions = dict.fromkeys(marker[0] for marker in MARKER.finditer(row.prompt) if marker[1] == "region")
    written = {region: write_region(box) for region, box in zip(regions, row.regions, strict=True)}
    instruction = MARKER.sub(lambda marker: written.get(marker[0], marker[0]), row.prompt)
    return {"image": (row.extra or {})["file"], "instruction": instruction, "output": prediction.text}


def _choice(prediction: Prediction) -> str:
    """The choice that an answer names, as published; the answer itself if it names none."""
    number = chosen(prediction.text, prediction.row.candidates)
    return prediction.text if number is None else prediction.row.candidates[number]


def _choice_number(prediction: Prediction) -> int:
    number = chosen(prediction.text, prediction.row.candidates)
    return NO_CHOICE if number is None else number


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


# Whole files ----------------------------------------------------------------------------------------------------------


def _records(record: Callable[[Prediction], dict[str, Any]]) -> Callable[[Path, Sequence[Prediction]], None]:
    """A JSON list."""
    return lambda path, rows: _write_json(path, [record(prediction) for prediction in rows])


def _by_id(value: Callable[[Prediction], Any]) -> Callable[[Path, Sequence[Prediction]], None]:
    """A JSON object by the number of the question."""
    return lambda path, rows: _write_json(path, {prediction.row.id: value(prediction) for prediction in rows})


def _lines(record: Callable[[Prediction], dict[str, Any]]) -> Callable[[Path, Sequence[Prediction]], None]:
    """JSON lines."""
    return lambda path, rows: write_whole(
        path, "".join(f"{json.dumps(record(prediction), ensure_ascii=False)}\n" for prediction in rows)
    )


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, ensure_ascii=False) + "\n")


def _science_qa(path: Path, rows: Sequence[Prediction]) -> None:
    results = {prediction.row.id: _choice_number(prediction) for prediction in rows}
    _write_json(path, {"results": results, "outputs": {prediction.row.id: prediction.text for prediction in rows}})


def _pope(prediction: Prediction) -> dict[str, Any]:
    return {"question": prediction.row.prompt, "answer": _on_one_line(prediction.text)}


def _mme(folder: Path, rows: Sequence[Prediction]) -> None:
    """A file a category; rows are numbered `CATEGORY/PICTURE/QUESTION`, and the two about a picture follow each other."""
    folder.mkdir(exist_ok=True)
    for category, group in groupby(rows, key=lambda prediction: prediction.row.id.split("/")[0]):
        fields = (
            (prediction.row.id.split("/")[1], prediction.row.prompt, prediction.row.answers[0].capitalize(), prediction.text)
            for prediction in group
        )
        write_whole(folder / f"{category}.txt", "".join("\t".join(map(_on_one_line, line)) + "\n" for line in fields))


def _nlvr2(path: Path, rows: Sequence[Prediction]) -> None:
    _write_table(path, ",", ([prediction.row.id, _truth(prediction)] for prediction in rows))


def _truth(prediction: Prediction) -> str:
    return "true" if first_yes_no(prediction.text) == "yes" else "false"


def _mmbench(path: Path, rows: Sequence[Prediction]) -> None:
    """The published table without its pictures, and with a letter for each answer; one that names no choice stays as it is."""
    lines = [["index", "question", *CHOICES_SHOWN, "prediction"], *map(_mmbench_line, rows)]
    if path.suffix != ".xlsx":
        _write_table(path, "\t", lines)
        return
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for line in lines:
        sheet.append(line)
    book.save(path)


def _mmbench_line(prediction: Prediction) -> list[Any]:
    row, number = prediction.row, chosen(prediction.text, prediction.row.candidates)
    choices = [*row.candidates, *[None] * len(CHOICES_SHOWN)][: len(CHOICES_SHOWN)]
    return [int(row.id), row.prompt, *choices, prediction.text if number is None else ascii_uppercase[number]]


def _write_table(path: Path, delimiter: str, lines: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    write_whole(path, text.getvalue())


# Who writes what ------------------------------------------------------------------------------------------------------


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


_ALL = _of()
_REFER = _of("refcoco", "refcoco_plus", "refcocog")
_MMBENCH_FILE = "mmbench.xlsx" if find_spec("openpyxl") else "mmbench.tsv"
LAYOUTS: tuple[Layout, ...] = (
    Layout("vqa.json", _of("vqa_v2", "ok_vqa"), _ALL, _records(_vqa)),
    Layout("aokvqa-da.json", _of("a_okvqa"), _of("direct_answer"), _by_id(lambda prediction: prediction.text)),
    Layout("aokvqa-mc.json", _of("a_okvqa"), _of("choice"), _by_id(_choice)),
    Layout("gqa.json", _of("gqa", "gqa_questions"), _ALL, _records(_gqa)),
    Layout("captions.json", _of("coco_captions", "coco_karpathy", "nocaps", "textcaps"), _ALL, _records(_caption)),
    Layout("science_qa.json", _of("science_qa"), _ALL, _science_qa),
    Layout("visdial.json", _of("visdial"), _ALL, _records(_ranks), lambda prediction: bool(prediction.log_likelihoods)),
    Layout(_MMBENCH_FILE, _of("mmbench"), _ALL, _mmbench),
    Layout("mme", _of("mme"), _ALL, _mme),
    Layout("pope.jsonl", _of("pope"), _ALL, _lines(_pope)),
    Layout("nlvr2.csv", _of("nlvr2"), _ALL, _nlvr2),
    Layout("boxes.json", _REFER, _of("pointing"), _records(_box)),
    Layout("expressions.json", _REFER, _of("reference", "description"), _records(_expression)),
    Layout("fine_eval.jsonl", _of("fine_eval"), _ALL, _lines(_instruction), lambda prediction: True),
)
