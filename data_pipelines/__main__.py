"""Public data to shards, offline.

examples:
  python -m data_pipelines scenes --out data/scenes/train --split train --count 10000
  python -m data_pipelines scenes --images several --out data/albums/train --split train --count 10000
  python -m data_pipelines mmlink icons --out data/mmlink/icons --count 69000
  python -m data_pipelines convert vsr --annotations vsr.jsonl --images train2017 --out data/vsr
  python -m data_pipelines generate data/coco_instances data/coco_captions --model NAME --endpoint URL --out data/written
  python -m data_pipelines lint data/vsr
  python -m data_pipelines info data/vsr
  python -m data_pipelines preview data/vsr --out page.html
  python -m data_pipelines index copied/shards
  python -m data_pipelines calibrate data/trusted --tagger open_clip.yaml --out weights/thresholds.txt
  python -m data_pipelines tag data/vsr --tagger ram.yaml --out data/vsr_tagged
  python -m data_pipelines retag data/vsr_tagged --corrections corrections.csv --out data/vsr_corrected
  python -m data_pipelines vocabulary data/scenes_text/train --out data/micro_language
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import docstring_parser

from data_pipelines.convert import convert
from data_pipelines.engine import in_order, in_order_on_ray
from data_pipelines.generate import options as generate_options
from data_pipelines.info import info
from data_pipelines.lint import lint
from data_pipelines.mmlink.options import DRAWN_DOMAINS, LINKED_DOMAINS, add_step_options, steps_of
from data_pipelines.preview import preview
from data_pipelines.report import Budget
from data_pipelines.sources.catalogue import SOURCES
from data_pipelines.sources.source import Source
from data_pipelines.tags.correct import correct
from triscope.arguments import Parser
from triscope.data.errors import TriscopeError, bad_path
from triscope.data.folder import write_whole
from triscope.data.shard_index import MAX_SHARD_SAMPLES
from triscope.data.shard_writer import index_folder
from triscope.data.shards import ShardSet

EXAMPLES = {  # of what the arguments of sources are given
    "images": "photos",
    "mapping": "mapping.yaml",
    "refs": "'refs(unc).p'",
    "sentences": "Sentences",
    "split": "train.txt",
    "table": "mine.csv",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if all is well, 1 if `lint` found faults or the input is unusable."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except (TriscopeError, OSError) as error:
        print(f"error: {error if isinstance(error, TriscopeError) else bad_path(error)}", file=sys.stderr)
        return 1


def run_convert(parsed: argparse.Namespace) -> int:
    """`convert`: public data to shards."""
    values = {argument.name: getattr(parsed, argument.name) for argument in fields(parsed.source)}
    source = parsed.source(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    budget = Budget(parsed.bad_samples, parsed.bad_records)
    start = time.perf_counter()
    report = convert(source, parsed.out, parsed.workers, budget, parsed.samples_per_shard, parsed.seed)
    seconds = time.perf_counter() - start
    print(report.text())
    print(f"{seconds:.1f} s, {report.records_read / seconds:.0f} records a second")
    return 0


@contextmanager
def _scenes_extra(command: str) -> Iterator[None]:
    """Tells how to install what a command imports, where the `scenes` extra is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = "install them with `pip install triscope[scenes]`"
        raise TriscopeError(command, f"no package {error.name}", "the packages of the scenes extra", remedy) from None


def run_scenes(parsed: argparse.Namespace) -> int:
    """`scenes`: composed pictures, albums of several, or text."""
    with _scenes_extra("scenes"):
        from data_pipelines.write_scenes import Form, write_scenes
    form: Form = parsed.text or ("album" if parsed.images == "several" else "picture")
    faults = {"missing_tags": parsed.missing_tags, "wrong_tags": parsed.wrong_tags}
    written = write_scenes(
        parsed.out, parsed.split, parsed.count, parsed.seed, form, parsed.workers, parsed.samples_per_shard, **faults
    )
    print(f"{parsed.out}: {written.text()}")
    return 0


def run_mmlink(parsed: argparse.Namespace) -> int:
    """`mmlink`: pairs of pictures that share one element."""
    with _scenes_extra("mmlink"):
        from data_pipelines.write_mmlink import write_mmlink
    steps = steps_of(parsed) if parsed.domain in LINKED_DOMAINS else None
    yields = write_mmlink(
        parsed.out, parsed.domain, parsed.split, parsed.count, parsed.seed, steps, parsed.workers, parsed.samples_per_shard
    )
    print(f"{parsed.out}: {yields.text()}")
    return 0


def run_lint(parsed: argparse.Namespace) -> int:
    """`lint`: every fault of a shard set."""
    report = lint(parsed.folder, parsed.workers)
    if parsed.out:
        write_whole(parsed.out, report.text())
    print(f"{len(report.faults)} fault(s), see {parsed.out}" if parsed.out else report.text())
    return 1 if report.faults else 0


def run_info(parsed: argparse.Namespace) -> int:
    """`info`: what a shard set holds."""
    print(info(parsed.folder))
    return 0


def run_preview(parsed: argparse.Namespace) -> int:
    """`preview`: a page to look at."""
    print(f"{preview(parsed.folder, parsed.out, parsed.count)} samples on {parsed.out}")
    return 0


def run_index(parsed: argparse.Namespace) -> int:
    """`index`: write the index of shards that have none."""
    shards = index_folder(parsed.folder)
    print(f"{len(shards.shards)} shards, {len(shards)} samples indexed")
    return 0


def run_tag(parsed: argparse.Namespace) -> int:
    """`tag`: a tagger's tags for every picture."""
    from data_pipelines.tags.tag import tag  # torch, timm and open_clip are slow to import
    from triscope.tagging.tagger import read_tagger

    source, tagger = ShardSet.open(parsed.folder), read_tagger(parsed.tagger)
    _say_tags(tag(source, parsed.out, tagger, _engine(parsed), parsed.samples_per_batch, parsed.device), parsed.out)
    return 0


def run_retag(parsed: argparse.Namespace) -> int:
    """`retag`: tags corrected by hand."""
    engine: Callable[..., Any] = partial(in_order, workers=parsed.workers, chunk=1)
    _say_tags(correct(ShardSet.open(parsed.folder), parsed.out, parsed.corrections, engine), parsed.out)
    return 0


def run_calibrate(parsed: argparse.Namespace) -> int:
    """`calibrate`: thresholds of a tagger."""
    from data_pipelines.tags.calibrate import calibrate_tagger
    from triscope.tagging.tagger import read_tagger

    source, tagger = ShardSet.open(parsed.folder), read_tagger(parsed.tagger)
    print(calibrate_tagger(source, parsed.out, tagger, _engine(parsed), parsed.samples_per_batch, parsed.device).text())
    print(f"thresholds in {parsed.out}")
    return 0


def _engine(parsed: argparse.Namespace) -> Callable[..., Any]:
    """What maps over shards; processes are spawned, for torch does not survive a fork."""
    if parsed.engine == "ray":
        gpus = 1 if parsed.device.startswith("cuda") else 0
        return partial(in_order_on_ray, workers=parsed.workers, address=parsed.address, gpus=gpus)
    if parsed.address:
        raise TriscopeError("--address", parsed.address, "--engine ray, to which it belongs", "add it, or leave the address out")
    return partial(in_order, workers=parsed.workers, chunk=1, start="spawn")


def _say_tags(tally: Counter[str], folder: Path) -> None:
    mean = tally["tags"] / max(tally["pictures"], 1)
    print(f"{tally['pictures']} pictures in {folder}, {tally['tagged']} with tags, {mean:.2f} tags a picture")


def run_vocabulary(parsed: argparse.Namespace) -> int:
    """`vocabulary`: a tokenizer and an untrained language model for the text of shards."""
    from data_pipelines.vocabulary import texts_of, write_untrained_language  # transformers is slow to import

    print(f"written: {write_untrained_language(texts_of(parsed.folder), parsed.out, parsed.size)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m data_pipelines",
        description="Public data to shards, offline.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_convert(commands)

    example = "--out data/scenes/train --split train --count 10000"
    command = _command(commands, "scenes", run_scenes, "compose scenes with exact boxes, tags and answers", example)
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the shards; must be empty")
    command.add_argument("--split", default="train", help="train, val, test or test_objects (default: %(default)s)")
    command.add_argument("--count", type=_positive, default=10000, help="scenes (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="another seed, other scenes (default: %(default)s)")
    forms = command.add_mutually_exclusive_group()
    forms.add_argument("--images", choices=("one", "several"), default="one", help="of a sample (default: %(default)s)")
    as_text = "scenes as text, to pretrain a small language model: each with a dialogue (default) or with lone questions"
    forms.add_argument("--text", nargs="?", choices=("dialogue", "questions"), const="dialogue", help=as_text)
    missing = "share of the names in a picture that are missing among its tags (default: %(default)s)"
    command.add_argument("--missing_tags", type=_share, default=0.1, metavar="SHARE", help=missing)
    wrong = "wrong tags added for each name in a picture, on average; at most 1 (default: %(default)s)"
    command.add_argument("--wrong_tags", type=_share, default=0.1, metavar="SHARE", help=wrong)
    _add_samples_per_shard(command)
    _add_workers(command)

    _add_mmlink(commands)

    summary = "let a language model write dialogues about regions"
    command = _command(commands, "generate", generate_options.run_generate, summary, "")
    command.epilog = generate_options.EXAMPLES
    generate_options.add_options(command, _positive)
    _add_samples_per_shard(command)

    command = _command(commands, "lint", run_lint, "find every fault of a shard set", "data/coco --out faults.md")
    command.add_argument("folder", type=Path, help="of the shards")
    command.add_argument("--out", type=Path, help="write the report (Markdown) here instead of printing it")
    _add_workers(command)

    command = _command(commands, "info", run_info, "say what a shard set holds", "data/coco")
    command.add_argument("folder", type=Path, help="of the shards")

    command = _command(commands, "preview", run_preview, "make a page to look at", "data/coco --out page.html")
    command.add_argument("folder", type=Path, help="of the shards")
    command.add_argument("--out", type=Path, required=True, help="the page")
    command.add_argument("--count", type=_positive, default=24, help="samples, spread over the set (default: %(default)s)")

    command = _command(commands, "index", run_index, "index shards that came without an index", "copied/shards")
    command.add_argument("folder", type=Path, help="of the shards")

    _add_tags(commands)

    example = "data/scenes_text/train --out data/micro_language"
    command = _command(commands, "vocabulary", run_vocabulary, "learn a tokenizer, for a small language model", example)
    command.add_argument("folder", type=Path, help="of the shards whose text is read")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for tokenizer and configuration")
    command.add_argument("--size", type=_positive, default=1024, help="tokens (default: %(default)s)")
    return parser


def _add_convert(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "convert", run_convert, "convert a public data set", "vsr --help")
    sources = command.add_subparsers(required=True, metavar="SOURCE")
    for source in SOURCES:
        needed = [argument for argument in fields(source) if argument.default is MISSING]
        files = " ".join(f"--{argument.name} {EXAMPLES.get(argument.name, argument.name + '.json')}" for argument in needed)
        example = f"{files} --out data/{source.name} --workers 8"
        convert_source = _command(sources, source.name, run_convert, _summary(source), example, "convert ")
        convert_source.set_defaults(source=source)
        _add_arguments_of(source, convert_source)
        convert_source.add_argument(
            "--out", type=Path, required=True, metavar="FOLDER", help="for the shards; empty, or left unfinished"
        )
        convert_source.add_argument("--seed", type=int, default=0, help="of the wordings (default: %(default)s)")
        convert_source.add_argument(
            "--bad_samples",
            type=int,
            default=Budget().bad_samples,
            metavar="N",
            help="stop when more samples are lost: pictures missing or unreadable, records unusable (default: %(default)s)",
        )
        convert_source.add_argument(
            "--bad_records",
            type=int,
            default=Budget().bad_records,
            metavar="N",
            help="stop when more records are faulty: objects missing, impossible boxes (default: %(default)s)",
        )
        _add_samples_per_shard(convert_source)
        _add_workers(convert_source)


def _add_arguments_of(source: type[Source], command: argparse.ArgumentParser) -> None:
    """The arguments of a source's class, as its docstring (or that of its base) explains them."""
    types = get_type_hints(source)
    helps = {
        argument.arg_name: " ".join((argument.description or "").split())
        for base in reversed(source.__mro__)
        for argument in docstring_parser.parse(base.__doc__ or "").params
    }
    for argument in fields(source):
        options: dict[str, Any] = {"help": helps[argument.name].replace("%", "%%")}
        if argument.default is MISSING:
            options["required"] = True
        elif argument.default is not None:
            options["default"] = argument.default
            options["help"] += " (default: %(default)s)"
        if types[argument.name] == tuple[Path, ...]:
            options |= {"type": Path, "nargs": "+", "metavar": "FOLDER"}
        else:
            is_file = types[argument.name] in (Path, Path | None)
            options |= {"type": Path, "metavar": "FILE"} if is_file else {"type": types[argument.name], "metavar": None}
        command.add_argument(f"--{argument.name}", **options)


def _summary(source: type[Source]) -> str:
    return (source.__doc__ or "").partition("\n")[0]


def _add_mmlink(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "mmlink", run_mmlink, "make pairs of pictures that share one element", "icons --help")
    domains = command.add_subparsers(required=True, metavar="DOMAIN")
    for domain, summary in (DRAWN_DOMAINS | LINKED_DOMAINS).items():
        example = f"--out data/mmlink/{domain} --split train --count 10000"
        pairs = _command(domains, domain, run_mmlink, summary, example, "mmlink ")
        pairs.set_defaults(domain=domain)
        pairs.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the shards: empty, or to go on with")
        pairs.add_argument("--split", default="train", help="train, val, test or test_objects (default: %(default)s)")
        pairs.add_argument("--count", type=_positive, default=10000, help="pairs to plan (default: %(default)s)")
        pairs.add_argument("--seed", type=int, default=0, help="another seed, other pairs (default: %(default)s)")
        if domain in LINKED_DOMAINS:
            add_step_options(pairs)
        _add_samples_per_shard(pairs)
        _add_workers(pairs)


def _add_tags(commands: argparse._SubParsersAction) -> None:
    example = "data/vsr --tagger ram.yaml --out data/vsr_tagged --workers 8"
    command = _command(commands, "tag", run_tag, "give every picture the tags of a tagger; goes on where it was cut off", example)
    command.add_argument("folder", type=Path, help="of the shards; they stay as they are")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the tagged shards")
    _add_tagger(command)

    example = "data/trusted --tagger open_clip.yaml --out weights/thresholds.txt"
    command = _command(commands, "calibrate", run_calibrate, "find a tagger's thresholds on shards whose tags are right", example)
    command.add_argument("folder", type=Path, help="of the shards")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="for the thresholds, one a line")
    _add_tagger(command)

    example = "data/vsr_tagged --corrections corrections.csv --out data/vsr_corrected"
    command = _command(commands, "retag", run_retag, "correct tags by hand", example)
    command.add_argument("folder", type=Path, help="of the shards; they stay as they are")
    command.add_argument(
        "--corrections", type=Path, required=True, metavar="CSV", help="key,tag,change, where a change is add or drop"
    )
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the corrected shards")
    _add_workers(command)


def _add_tagger(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tagger", type=Path, required=True, metavar="PATH", help="a tagger's file or folder, see docs/data.md")
    command.add_argument("--samples_per_batch", type=_positive, default=16, help="seen at once (default: %(default)s)")
    command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="(default: %(default)s)")
    command.add_argument("--address", help="of a Ray cluster, such as 10.0.0.1:6379; on this machine if left out")
    _add_workers(command)


def _command(
    commands: argparse._SubParsersAction, name: str, run, summary: str, example: str, before: str = ""
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  python -m data_pipelines {before}{name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_workers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, help="processes (default: all cores, %(default)s)"
    )


def _add_samples_per_shard(command: argparse.ArgumentParser) -> None:
    command.add_argument("--samples_per_shard", type=_shard_size, default=1000, metavar="N", help="(default: %(default)s)")


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _shard_size(text: str) -> int:
    number = _positive(text)
    if number > MAX_SHARD_SAMPLES:  # training would refuse the shards
        raise argparse.ArgumentTypeError(f"{text} is more than the {MAX_SHARD_SAMPLES} samples that a shard may hold")
    return number


if __name__ == "__main__":
    sys.exit(main())
