"""DEMON (Li et al., 2024; https://github.com/DCDmllm/Cheetah): instructions about interleaved pictures. CC BY-NC 4.0."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_list, read_members
from data_pipelines.sources.instruction import add_instruction
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from triscope.data.errors import TriscopeError


@dataclass(frozen=True)
class Demon(Source):
    """Follow instructions over several pictures (`core.json` or `full.json` of a task); the task is named by its data set.

    Args:
        annotations: the file.
        images: folders with the pictures, `images` beside it.
    """

    name = "demon"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        metadata = dict(read_members(self.annotations, "metadata"))
        instructions = metadata.get("task_instruction")
        if not isinstance(instructions, list):
            where = f"{self.annotations}, metadata"
            raise TriscopeError(where, f"fields {sorted(metadata)}", "a list 'task_instruction'", "check which file this is")
        task = re.sub(r"[^a-z0-9_]", "_", str(metadata.get("dataset", self.name)).lower())
        for number, record in enumerate(read_list(self.annotations, "data")):
            where = f"{self.annotations}, record {number}"
            instance = field(record, "task_instance", where)
            pictures = tuple(Picture(files.find(path)) for path in field(instance, "images_path", where))
            chosen = field(record, "task_instruction_id", where)
            records = (record | {"instruction": instructions[int(chosen)], "task": task},)
            yield Entry(key_of(f"{self.name}-{task}", field(record, "sample_id", where)), pictures, records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        instance, choices = record["task_instance"], record["task_instance"].get("choice_list") or []
        options = f"Choices: {choices}" if choices else ""
        prompt = clean(f"{record['instruction']} {instance['context']} {options}")
        answer, where = clean(str(record["response"])), f"record {record['sample_id']}"
        add_instruction(draft, record["task"], prompt, answer, where, map(str, choices))
