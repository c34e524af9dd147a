"""Captions scored with the Java tools of the COCO caption evaluation, where they are at hand: its tokeniser, and METEOR.

Stanford's PTB tokeniser 3.4.1 and METEOR 1.5 for English (Denkowski and Lavie 2014) lie in the package pycocoevalcap
(`pip install triscope[scores]`), which downloads nothing. They are started here and not by its classes, because those write
into the package's folder and give no counts, from which intervals are drawn. The scores stand beside those of `tasks`, which
need no Java.
"""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from triscope.evaluation import captions
from triscope.evaluation.intervals import Items
from triscope.evaluation.predictions import Prediction, distinct
from triscope.evaluation.tasks import picture_of

RESAMPLES = 1000

TOOLS = {"tokeniser": "PTB, Stanford CoreNLP 3.4.1", "meteor": "1.5, English"}
NO_TOOLS = "left out: they need java and pycocoevalcap (pip install triscope[scores])"
# Sets whose papers are scored so; others are left alone, for METEOR takes ten seconds to start.
CAPTIONED = "coco_captions", "coco_karpathy", "flickr30k_captions", "nocaps", "textcaps"
REFERRED_TO = "refcoco", "refcoco_plus", "refcocog", "visual_genome_regions"
SOURCES = frozenset({*CAPTIONED, *REFERRED_TO})
TASKS = frozenset(["caption", "description"])
TOKENISER_JAR, METEOR_JAR = "tokenizer/stanford-corenlp-3.4.1.jar", "meteor/meteor-1.5.jar"
LEFT_OUT = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:;", "-", "--", "..."])  # of its words
METEOR_MEMORY = "-Xmx2G"  # its table of paraphrases

# METEOR's parameters for English, of its version 1.5: four kinds of matches (same word, same stem, synonym, paraphrase).
MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.20, 0.60, 0.75


def coco_scores(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The scores of the captions of published sets.

    Args:
        predictions: of one set.

    Returns:
        {tools, scores: {name: {value, low, high, items}}}, named as those of `tasks`; without Java {tools}, which says so;
        nothing where there are no such captions.
    """
    groups = defaultdict(list)
    for prediction in distinct(predictions):
        if prediction.row.source in SOURCES and prediction.row.task in TASKS:
            groups[f"{prediction.row.level}/{prediction.row.task}"].append(prediction)
    folder = java_folder()
    if not groups or folder is None:
        return {"tools": NO_TOOLS} if groups else {}
    scores = {}
    with JavaTools(folder) as java:
        for name, group in sorted(groups.items()):
            pictures = [picture_of(item.row) for item in group]
            for measure, items in java.items([item.text for item in group], [item.row.answers for item in group]).items():
                found = items.score(pictures, RESAMPLES)
                scores[f"{name}_{measure}"] = {"value": found.value, "low": found.low, "high": found.high, "items": found.n}
    return {"tools": TOOLS, "scores": scores}


def java_folder() -> Path | None:
    """Where the jars lie; None without `java` or without pycocoevalcap."""
    package = find_spec("pycocoevalcap")
    if shutil.which("java") is None or package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0])


class JavaTools:
    """The Java tools, for as long as they are needed: METEOR is one process, started when it is first asked.

    Args:
        folder: of `java_folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._words: dict[str, tuple[str, ...]] = {}
        self._meteor: subprocess.Popen[str] | None = None

    def __enter__(self) -> "JavaTools":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._meteor is not None:
            self._meteor.kill()
            self._meteor.communicate()

    def items(self, said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Items]:
        """What each caption adds to CIDEr-D, BLEU-4, ROUGE-L and METEOR."""
        self._tokenise(list(dict.fromkeys([*said, *(text for accepted in references for text in accepted)])))
        words = [self.words(text) for text in said], [[self.words(text) for text in accepted] for accepted in references]
        return {
            "cider": Items.mean(100 * captions.cider_d(*words), limit=1000.0),
            "bleu4": Items(captions.bleu_counts(*words), lambda sums: captions.bleu_of_sums(sums)[3]),
            "rouge_l": Items.mean(captions.rouge_l(*words)),
            "meteor": Items(self.meteor_counts(said, references), meteor_of_sums),
        }

    def words(self, text: str) -> tuple[str, ...]:
        """The words of a text, in lower case and without punctuation."""
        if text not in self._words:
            self._tokenise([text])
        return self._words[text]

    def meteor_counts(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """Lengths and matches of each caption with the reference that suits it best, (items, 23) in METEOR's order."""
        asked = zip(candidates, references, strict=True)
        return np.array([self._ask_meteor(candidate, accepted) for candidate, accepted in asked]).reshape(-1, 23)

    def _tokenise(self, texts: list[str]) -> None:
        command = ["java", "-cp", str(self._folder / TOKENISER_JAR), "edu.stanford.nlp.process.PTBTokenizer"]
        command += ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
        lines = "".join(" ".join(text.split()) + "\n" for text in texts)
        answered = subprocess.run(command, input=lines.encode(), capture_output=True, check=True).stdout.decode()
        for text, line in zip(texts, answered.split("\n"), strict=False):
            self._words[text] = tuple(word for word in line.split() if word not in LEFT_OUT)

    def _ask_meteor(self, candidate: str, references: Sequence[str]) -> list[float]:
        if self._meteor is None:
            command = ["java", METEOR_MEMORY, "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-jar", str(self._folder / METEOR_JAR)]
            self._meteor = subprocess.Popen(
                [*command, "-", "-", "-stdio", "-l", "en", "-norm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        assert self._meteor.stdin is not None and self._meteor.stdout is not None
        written = (" ".join(self.words(text)) for text in (*references, candidate))
        self._meteor.stdin.write(" ||| ".join(["SCORE", *written]) + "\n")
        self._meteor.stdin.flush()
        return [float(number) for number in self._meteor.stdout.readline().split()]


def meteor_of_sums(sums: np.ndarray) -> float:
    """METEOR, 0 to 1, from the column sums of `meteor_counts`.

    The columns: words of caption and reference, function words of both; of each kind of match the content words matched in
    both, the function words matched in both; chunks, matched words of both. Content words weigh DELTA, function words the rest.
    """
    lengths, functions, chunks, matched = sums[:2], sums[2:4], sums[20], sums[21:23]
    contents_K2, functions_K2 = sums[4:20].reshape(4, 2, 2).swapaxes(0, 1)  # K kinds of matches, in caption and reference
    weighted = DELTA * (lengths - functions) + (1 - DELTA) * functions
    matches = MODULE_WEIGHTS @ (DELTA * contents_K2 + (1 - DELTA) * functions_K2)
    if not matches.all() or not weighted.all():
        return 0.0
    precision, recall = matches / weighted
    mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
    is_whole = chunks == 1 and matched.sum() == lengths.sum()
    fragmentation = 0.0 if is_whole else chunks / matched.mean()
    return float(mean * (1 - GAMMA * fragmentation**BETA))
