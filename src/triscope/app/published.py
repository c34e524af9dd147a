"""The published weights and the data that the shipped files name: how large a language model is, and what brings each here."""

from typing import Any

_FLAN_T5 = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_kv": 64,
    "num_layers": 24,
    "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "scale_decoder_outputs": False,
}
_VICUNA_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
# What stands in their `config.json` about their sizes: enough to build one without weights, and without a download.
LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "google/flan-t5-xl": {**_FLAN_T5, "d_model": 2048, "d_ff": 5120, "num_heads": 32},
    "google/flan-t5-xxl": {**_FLAN_T5, "d_model": 4096, "d_ff": 10240, "num_heads": 64},
    "lmsys/vicuna-7b-v1.1": _VICUNA_7B,
    "lmsys/vicuna-7b-v1.3": _VICUNA_7B,
}
# Of what is made here: another folder that tells the same sizes.
SAME_SIZES = {"data/micro_language": "weights/micro_language"}

_EVA = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/eva_vit_g.pth"
_CLIP = "timm/vit_large_patch14_clip_224.openai open_clip_model.safetensors"
_REGION_CLIP = "https://drive.google.com/drive/folders/1hzrJBvcCrahoRcqJRqzkIGFO_HUSJIii"
_SCENES = "python -m data_pipelines scenes"
_MMLINK = "python -m data_pipelines mmlink"
# What writes each, where that is not what its name says.
COMMANDS = {
    "google-bert/bert-base-uncased": "hf download google-bert/bert-base-uncased "
    "config.json tokenizer_config.json tokenizer.json vocab.txt",
    "weights/eva_vit_g/vision.safetensors": f"curl -LO {_EVA} && triscope import eva-vit-g eva_vit_g.pth --out weights/eva_vit_g",
    "weights/clip_vit_large_patch14.safetensors": f"hf download {_CLIP} --local-dir weights && "
    "mv weights/open_clip_model.safetensors weights/clip_vit_large_patch14.safetensors",
    "weights/regionclip_pretrained-cc_rn50x4.pth": "by hand, as its authors publish it in a browser's folder: "
    f"{_REGION_CLIP}, in it regionclip/regionclip_pretrained-cc_rn50x4.pth",
    "weights/llava": "triscope import llava llava-lightning-7b-v1 --out weights/llava",
    "weights/instructblip_vicuna7b": "hf download Salesforce/instructblip-vicuna-7b --local-dir instructblip-vicuna-7b && "
    "triscope import instructblip instructblip-vicuna-7b --out weights/instructblip_vicuna7b",
    "weights/micro_language": "git checkout weights/micro_language",
    "data/micro_language": "python -m data_pipelines vocabulary data/scenes_text/train --out data/micro_language",
    "data/scenes_text/train": f"{_SCENES} --text --out data/scenes_text/train --count 48000",
    "data/scenes_text/val": f"{_SCENES} --text --out data/scenes_text/val --split val --count 200",
    "data/scenes/train": f"{_SCENES} --split train --count 10000 --out data/scenes/train",
    "data/scenes/val": f"{_SCENES} --split val --count 200 --out data/scenes/val",
    "data/scenes/test": f"{_SCENES} --split test --count 500 --out data/scenes/test",
    "data/scenes/test_objects": f"{_SCENES} --split test_objects --count 500 --out data/scenes/test_objects",
    "data/albums/train": f"{_SCENES} --images several --split train --count 10000 --out data/albums/train",
    "data/albums/val": f"{_SCENES} --images several --split val --count 200 --out data/albums/val",
    "data/albums/test": f"{_SCENES} --images several --split test --count 500 --out data/albums/test",
    "data/mmlink/icons": f"{_MMLINK} icons --count 17250 --out data/mmlink/icons",
    "data/mmlink/book_covers": f"{_MMLINK} book_covers --count 17250 --out data/mmlink/book_covers",
    "data/mmlink/characters": f"{_MMLINK} characters --count 17250 --out data/mmlink/characters",
    "data/mmlink/furniture": f"{_MMLINK} furniture --count 17250 --out data/mmlink/furniture",
    "data/mmlink/icons_val": f"{_MMLINK} icons --split val --count 500 --out data/mmlink/icons_val",
    "data/mmlink/furniture_val": f"{_MMLINK} furniture --split val --count 500 --out data/mmlink/furniture_val",
}
