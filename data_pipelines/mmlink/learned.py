"""The steps with models of Hugging Face and diffusers (`pip install triscope[mmlink]`).

A model is loaded when it is first used, once a process, and only then are its packages imported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from data_pipelines.mmlink.requests import Canvas, Source

PAINTED_MULTIPLE = 8  # pixels: diffusion models take sides of multiples of it


@dataclass(frozen=True)
class HuggingFaceSegmenter:
    """A mask-generation model (Segment Anything) asked for what is in the middle of the picture.

    Args:
        model: its name or folder, such as `facebook/sam-vit-base`.
        device: such as `cpu` or `cuda:0`.
        batch_size: pictures at a time.
    """

    model: str
    device: str = "cpu"
    batch_size: int = 4

    @property
    def name(self) -> str:
        """The model's."""
        return self.model

    def segment(self, pictures: Sequence[Image.Image]) -> list[Image.Image | None]:
        """Of the model's proposals for the middle point the one that it believes in most; None if that is empty."""
        import torch

        segmenter, processor = _segmenter(self.model, self.device)
        masks: list[Image.Image | None] = []
        for batch in _batches([on_white(picture) for picture in pictures], self.batch_size):
            points = [[[[picture.width / 2, picture.height / 2]]] for picture in batch]
            inputs = processor(images=batch, input_points=points, return_tensors="pt").to(self.device)
            with torch.inference_mode():
                outputs = segmenter(**inputs)
            sized = processor.post_process_masks(
                outputs.pred_masks.cpu(), inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
            )
            for proposals, scores in zip(sized, outputs.iou_scores.cpu(), strict=True):
                best = proposals[0, int(scores[0].argmax())].numpy()
                masks.append(Image.fromarray((255 * best).astype("uint8")) if best.any() else None)
        return masks


@dataclass(frozen=True)
class DiffusersInpainter:
    """An inpainting pipeline of `diffusers`.

    Args:
        model: its name or folder, such as `stable-diffusion-v1-5/stable-diffusion-inpainting`.
        device: such as `cpu` or `cuda:0`.
        batch_size: canvases at a time.
        steps: of the denoising.
    """

    model: str
    device: str = "cpu"
    batch_size: int = 4
    steps: int = 30

    @property
    def name(self) -> str:
        """The model's, and the number of its steps."""
        return f"{self.model}, {self.steps} steps"

    def paint(self, canvases: Sequence[Canvas]) -> list[Image.Image | None]:
        """Paint where a canvas is free; each from its own seed."""
        import torch

        pipeline = _inpainter(self.model, self.device)
        painted: list[Image.Image | None] = []
        for batch in _batches(canvases, self.batch_size):
            width, height = (-(-side // PAINTED_MULTIPLE) * PAINTED_MULTIPLE for side in batch[0].picture.size)
            pictures = pipeline(
                prompt=[canvas.prompt for canvas in batch],
                image=[canvas.picture.resize((width, height)) for canvas in batch],
                mask_image=[canvas.free.resize((width, height)) for canvas in batch],
                generator=[torch.Generator("cpu").manual_seed(canvas.seed) for canvas in batch],
                num_inference_steps=self.steps,
                width=width,
                height=height,
            ).images
            painted += [picture.resize(canvas.picture.size) for picture, canvas in zip(pictures, batch, strict=True)]
        return painted


@dataclass(frozen=True)
class HuggingFaceCaptioner:
    """An image-to-text model, such as BLIP or InstructBLIP.

    Args:
        model: its name or folder, such as `Salesforce/blip-image-captioning-base`.
        device: such as `cpu` or `cuda:0`.
        batch_size: pictures at a time.
        prompt: what the caption begins with, or what the model is asked.
        max_tokens: of a caption.
    """

    model: str
    device: str = "cpu"
    batch_size: int = 8
    prompt: str = "a photo of"
    max_tokens: int = 40

    @property
    def name(self) -> str:
        """The model's."""
        return self.model

    def caption(self, sources: Sequence[Source]) -> list[str | None]:
        """What the model says beyond the prompt; None if that is nothing."""
        import torch

        captioner, processor = _captioner(self.model, self.device)
        captions: list[str | None] = []
        for batch in _batches([on_white(source.picture) for source in sources], self.batch_size):
            inputs = processor(images=batch, text=[self.prompt] * len(batch), return_tensors="pt", padding=True).to(self.device)
            with torch.inference_mode():
                written = captioner.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
            texts = processor.batch_decode(written, skip_special_tokens=True)
            captions += [text.strip().removeprefix(self.prompt).strip() or None for text in texts]
        return captions


def on_white(picture: Image.Image) -> Image.Image:
    """The picture without transparency, as from a studio."""
    if "A" not in picture.getbands():
        return picture.convert("RGB")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


@cache
def _segmenter(model: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForMaskGeneration, AutoProcessor

    return AutoModelForMaskGeneration.from_pretrained(model).eval().to(device), AutoProcessor.from_pretrained(model)


@cache
def _inpainter(model: str, device: str) -> Any:
    from diffusers import AutoPipelineForInpainting

    pipeline = AutoPipelineForInpainting.from_pretrained(model).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@cache
def _captioner(model: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    return AutoModelForImageTextToText.from_pretrained(model).eval().to(device), AutoProcessor.from_pretrained(model)
