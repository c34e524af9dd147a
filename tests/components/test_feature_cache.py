import pytest
import torch
from torch import nn

from triscope.components.feature_cache import FeatureCache
from triscope.components.vision import VisionEncoder

TINY = {"depth": 3, "embed_dim": 16, "num_heads": 2, "patch_size": 14}


def encoder(folder, seed=0, **options):
    torch.manual_seed(seed)
    return VisionEncoder("vit_tiny_patch16_224", None, (2, 1), image_size=56, cache_folder=folder, tower_options=TINY, **options)


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (3, 3, 56, 56), dtype=torch.uint8)


def count_encodings(monkeypatch, vision):
    """Numbers of pictures that the tower is given from now on."""
    seen, encode = [], vision._encode
    monkeypatch.setattr(vision, "_encode", lambda pixels: seen.append(len(pixels)) or encode(pixels))
    return seen


def test_cached_features_are_those_of_the_tower(tmp_path, pictures):
    plain, cached = encoder(None), encoder(tmp_path)
    for _ in range(2):
        for expected, found in zip(plain(pictures), cached(pictures), strict=True):
            assert torch.equal(expected, found)


def test_a_picture_is_encoded_once_and_found_again_by_another_process(tmp_path, pictures, monkeypatch):
    first = encoder(tmp_path)
    seen = count_encodings(monkeypatch, first)
    first(pictures[:2])
    first(pictures)
    assert seen == [2, 1]
    again = encoder(tmp_path)
    seen = count_encodings(monkeypatch, again)
    features = again(pictures.flip(0))
    assert seen == []
    assert torch.equal(features[0].flip(0), first(pictures)[0])


def test_another_tower_or_another_pooling_reads_nothing(tmp_path, pictures):
    encoder(tmp_path)(pictures)
    assert len(encoder(tmp_path).cache) == 3
    assert len(encoder(tmp_path, seed=1).cache) == 0
    assert len(encoder(tmp_path, pool=2).cache) == 0
    assert len(encoder(tmp_path, dtype="bfloat16").cache) == 0


def test_a_record_whose_writing_was_interrupted_does_not_count(tmp_path):
    tower = nn.Linear(2, 2)
    cache = FeatureCache(tmp_path, tower, (1, 2, 2), ())
    pictures = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    cache.features(pictures, lambda pixels: [torch.rand(len(pixels), 2, 2)])
    (segment,) = cache.folder.glob("*.features")
    segment.write_bytes(segment.read_bytes()[:-1])
    assert len(FeatureCache(tmp_path, tower, (1, 2, 2), ())) == 1
