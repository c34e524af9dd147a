"""How fast a large annotation file is converted, and in how much memory: `python -m benchmarks.conversion --records 5000000`.

Writes a JSON list of questions about regions in PVIT's published form, 50 a picture, not sorted by picture; and converts it.
"""

import argparse
import io
import json
import resource
import tempfile
import time
from pathlib import Path

from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.sources.sbu_grounding import SbuGrounding

RECORDS_A_PICTURE = 50
MIB_OF_KIB = 1 / 1024


def main() -> None:
    """Generate, convert, and print a row: records, size, seconds, records a second of CPU time, memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="of the generated file (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, parsed.records)
        before = _peak(resource.RUSAGE_SELF)
        start, used = time.perf_counter(), -_cpu_seconds()
        source = SbuGrounding(folder / "records.json", (folder / "pictures",))
        report = convert(source, folder / "shards", workers=parsed.workers)
        seconds, used = time.perf_counter() - start, used + _cpu_seconds()
        size = (folder / "records.json").stat().st_size / 2**20
    columns = "records, pictures, MiB of file, seconds, CPU seconds, records a CPU second, MiB before, MiB main, MiB worker"
    print(f"| {columns.replace(', ', ' | ')} |")
    print("|---|---|---|---|---|---|---|---|---|")
    memory = f"{before:.0f} | {_peak(resource.RUSAGE_SELF):.0f} | {_peak(resource.RUSAGE_CHILDREN):.0f}"
    speed = f"{seconds:.1f} | {used:.1f} | {report.records_read / used:.0f}"
    print(f"| {report.records_read} | {report.samples_written} | {size:.0f} | {speed} | {memory} |")


def generate(folder: Path, records: int) -> None:
    """A file of records and the pictures that it names."""
    count = max(1, records // RECORDS_A_PICTURE)
    content = io.BytesIO()
    PillowImage.linear_gradient("L").resize((64, 48)).save(content, "JPEG")
    (folder / "pictures").mkdir()
    for number in range(count):
        (folder / "pictures" / f"{number}.jpg").write_bytes(content.getvalue())
    with open(folder / "records.json", "w") as file:
        file.write("[")
        for number in range(records):
            question = f"<image>\nWhat is in <Region><L{number % 400}><L80><L{500 + number % 500}><L905></Region>?"
            said = [{"from": "human", "value": question}, {"from": "gpt", "value": f"street lamp {number}"}]
            record = {"id": str(number), "image": f"{number % count}.jpg", "conversations": said}
            file.write(f"{',' if number else ''}\n{json.dumps(record)}")
        file.write("]")


def _cpu_seconds() -> float:
    """What this process and its ended children have used: other work on the machine does not count."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak(whose: int) -> float:
    """The most memory held so far by this process, or by the largest of its children, in MiB."""
    return resource.getrusage(whose).ru_maxrss * MIB_OF_KIB


if __name__ == "__main__":
    main()
