"""Annotated pictures as converters write them: names, attributes and relations in one set, captions in another."""

from pathlib import Path

from PIL import Image as PillowImage

from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn
from triscope.data.shard_writer import ShardWriter

WIDTH, HEIGHT = 200, 100
BOXES = ((10, 10, 60, 90), (80, 10, 130, 90), (150, 20, 160, 30), (5, 60, 195, 100))


def picture(number: int, folder: Path) -> bytes:
    """A picture like no other."""
    path = folder / f"{number}.png"
    PillowImage.new("RGB", (WIDTH, HEIGHT), (number, 100, 200)).save(path)
    return path.read_bytes()


def region_sample(number: int) -> Sample:
    """Two dogs, a small bird, a wet lawn, and a relation."""
    ask = {
        "recognition": [
            ("What is at <region:1>?", "dog"),
            ("<region:2>?", "dog"),
            ("<region:3>?", "bird"),
            ("<region:4>?", "lawn"),
        ],
        "attribute": [("What is the lawn in <region:4> like?", "wet")],
        "description": [("Describe <region:1>.", "a dog with a red collar")],
    }
    turns = [(task, Turn(prompt, (answer,))) for task, asked in ask.items() for prompt, answer in asked]
    turns += [("relationship", Turn("How is <region:1> related to <region:4>?", ("on", "the dog on the lawn")))]
    turns += [("pointing", Turn("Where is the bird?", ("<region:3>",)))]
    return Sample(
        key=f"regions-{number}",
        images=(Image("0.png", WIDTH, HEIGHT),),
        conversations=tuple(Conversation(task, Level.REGION, (turn,)) for task, turn in turns),
        regions=tuple(Region(0, Box(*box, BoxSpace.PIXELS)) for box in BOXES),
        source="made up",
    )


def caption_sample(number: int) -> Sample:
    """Two captions of the same picture."""
    turn = Turn("Describe the picture.", ("Two dogs on a lawn.", "Dogs and a bird."))
    image = (Image("0.png", WIDTH, HEIGHT),)
    return Sample(f"captions-{number}", image, (Conversation("caption", Level.IMAGE, (turn,)),), source="made up")


def write_annotated(folder: Path, count: int) -> tuple[Path, Path]:
    """A set of regions, and a set of captions of the same pictures in the opposite order."""
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder / "regions", samples_per_shard=2) as writer:
        for number in range(count):
            writer.write(region_sample(number), [picture(number, folder)])
    with ShardWriter(folder / "captions", samples_per_shard=2) as writer:
        for number in reversed(range(count)):
            writer.write(caption_sample(number), [picture(number, folder)])
    return folder / "regions", folder / "captions"
