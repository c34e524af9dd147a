"""Tiny models with random weights, saved as Hugging Face and diffusers folders: the real classes, in kilobytes."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

WORDS = ("a", "photo", "of", "red", "chair", "couch", "in", "the", "room")


def save_segmenter(folder: Path) -> str:
    """A SAM for pictures of 64 pixels."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16}
    config = SamConfig(
        vision_config={
            **sizes, "image_size": 64, "patch_size": 16, "output_channels": 32, "num_pos_feats": 16, "window_size": 2,
            "global_attn_indexes": [0],
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={**sizes, "hidden_size": 32, "iou_head_hidden_dim": 16},
    )  # fmt: skip
    SamModel(config).save_pretrained(folder)
    picture_processor = SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    SamProcessor(picture_processor).save_pretrained(folder)
    return str(folder)


def save_captioner(folder: Path) -> str:
    """A BLIP for pictures of 32 pixels."""
    torch.manual_seed(0)
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)})
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BlipConfig(
        text_config={
            **sizes, "encoder_hidden_size": 16, "vocab_size": len(vocabulary), "bos_token_id": 5, "eos_token_id": 3,
            "sep_token_id": 3, "pad_token_id": 0, "projection_dim": 16,
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )  # fmt: skip
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return str(folder)


def save_inpainter(folder: Path) -> str:
    """A Stable Diffusion for inpainting, of two small blocks."""
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    text = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=len(vocabulary) - 2, eos_token_id=len(vocabulary) - 1,
    )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8), latent_channels=4, norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(vocab={piece: number for number, piece in enumerate(vocabulary)}, merges=[], model_max_length=77),
        unet=UNet2DConditionModel(
            in_channels=9, out_channels=4, sample_size=16, block_out_channels=(8, 8), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
        ),
        scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return str(folder)
