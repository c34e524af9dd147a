"""The command line of `mmlink`: which domains there are, and which model does which step."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from triscope.data.errors import ConfigurationError

if TYPE_CHECKING:
    from data_pipelines.mmlink.steps import Steps, Writer

DRAWN_DOMAINS = {
    "icons": "two grids of six icons with one in common",
    "book_covers": "two book covers by one author, about one subject, or both",
}
LINKED_DOMAINS = {
    "characters": "one person in two pictures, in other poses, places and company",
    "furniture": "one piece of furniture in two pictures, in other places and company",
}
# step: (what a model of it is, items at a time)
MODELS = {
    "segmenter": ("Hugging Face mask-generation model, such as facebook/sam-vit-base; else drawings' own outlines", 4),
    "captioner": ("Hugging Face image-to-text model; else what is known of the subject", 8),
    "inpainter": ("inpainting model of diffusers; else a texture", 4),
    "writer": ("Hugging Face language model, or its name at --endpoint; else templates", 8),
}


def add_step_options(command: argparse.ArgumentParser) -> None:
    """The options of characters and furniture."""
    command.add_argument(
        "--subjects", type=Path, metavar="FOLDER", help="of photos, a folder a subject (blue_armchair/1.jpg); else drawings"
    )
    command.add_argument("--side", type=int, default=224, help="pixels of the square pictures (default: %(default)s)")
    for step, (meaning, batch_size) in MODELS.items():
        command.add_argument(f"--{step}", metavar="MODEL", help=meaning)
        command.add_argument(f"--{step}_device", metavar="DEVICE", default="cpu", help="such as cuda:0 (default: %(default)s)")
        command.add_argument(f"--{step}_batch", metavar="N", type=int, default=batch_size, help="(default: %(default)s)")
    command.add_argument("--inpainter_steps", metavar="N", type=int, default=30, help="(default: %(default)s)")
    command.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible, where --writer is: http://localhost:8000/v1")


def steps_of(parsed: argparse.Namespace) -> "Steps":
    """The steps that the options name.

    Raises:
        ConfigurationError: an endpoint without the name of its model.
    """
    from data_pipelines.mmlink.drawn import AlphaSegmenter, KnownCaptioner, TemplateWriter, TexturePainter
    from data_pipelines.mmlink.learned import DiffusersInpainter, HuggingFaceCaptioner, HuggingFaceSegmenter
    from data_pipelines.mmlink.steps import Captioner, Inpainter, Segmenter, Steps
    from data_pipelines.mmlink.subjects import DrawnFurniture, DrawnPeople, PhotoFolder, Subjects

    if parsed.endpoint and not parsed.writer:
        raise ConfigurationError("--endpoint", "no --writer", "the name of the model there", "add --writer NAME")
    subjects: Subjects = DrawnPeople() if parsed.domain == "characters" else DrawnFurniture()
    segmenter: Segmenter = AlphaSegmenter()
    captioner: Captioner = KnownCaptioner()
    inpainter: Inpainter = TexturePainter()
    writer: Writer = TemplateWriter()
    if parsed.subjects:
        subjects = PhotoFolder(parsed.subjects)
    if parsed.segmenter:
        segmenter = HuggingFaceSegmenter(parsed.segmenter, parsed.segmenter_device, parsed.segmenter_batch)
    if parsed.captioner:
        captioner = HuggingFaceCaptioner(parsed.captioner, parsed.captioner_device, parsed.captioner_batch)
    if parsed.inpainter:
        inpainter = DiffusersInpainter(parsed.inpainter, parsed.inpainter_device, parsed.inpainter_batch, parsed.inpainter_steps)
    if parsed.writer:
        writer = _model_writer(parsed)
    return Steps(subjects, segmenter, inpainter, captioner, writer, parsed.side)


def _model_writer(parsed: argparse.Namespace) -> "Writer":
    from data_pipelines.language_models import Chat, Endpoint, LocalChat
    from data_pipelines.mmlink.writing import ModelWriter

    chat: Chat
    if parsed.endpoint:
        chat = Endpoint(parsed.endpoint, parsed.writer, parsed.writer_batch)
    else:
        chat = LocalChat(parsed.writer, parsed.writer_device, parsed.writer_batch)
    return ModelWriter(chat)
