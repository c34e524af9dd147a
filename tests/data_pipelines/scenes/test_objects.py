"""Nouns and their drawings."""

import pytest
from PIL import Image

from data_pipelines.scenes.objects import (
    COLORABLE,
    COLORS,
    HELD_OUT,
    HELD_OUT_NOUNS,
    NOUNS_OF_SPLIT,
    PLAIN,
    TRAINED_NOUNS,
    nouns_of,
    plural,
    sprite,
    with_article,
)
from triscope.data.errors import ConfigurationError


def test_held_out_nouns_are_in_no_other_split():
    assert len(HELD_OUT_NOUNS.names) == len(HELD_OUT) == 16
    assert len(TRAINED_NOUNS.names) == 80
    assert not set(HELD_OUT_NOUNS.names) & set(TRAINED_NOUNS.names)
    assert {split for split, nouns in NOUNS_OF_SPLIT.items() if nouns is HELD_OUT_NOUNS} == {"test_objects"}


def test_no_drawing_has_two_names():
    codes = [code for code, *_ in COLORABLE.values()] + list(PLAIN.values())
    assert len(set(codes)) == len(codes)


def test_an_unknown_split_is_told_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'training'.*train, val, test, test_objects"):
        nouns_of("training")


def test_a_sprite_is_cut_out_along_its_visible_pixels_at_the_wanted_size():
    for name in ("dog", "carrot", "piano"):
        picture = sprite(name, None, 50, False)
        assert max(picture.size) in (49, 50, 51)
        assert picture.getchannel("A").getbbox() == (0, 0, *picture.size)


def test_a_mirrored_sprite_is_the_other_one_seen_in_a_mirror():
    turned = sprite("car", "red", 50, True).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert turned.tobytes() == sprite("car", "red", 50, False).tobytes()


@pytest.mark.parametrize("name", COLORABLE)
def test_every_colourable_drawing_shows_its_colour_more_than_any_other_of_the_palette(name):
    for color in COLORS:
        pixels = sprite(name, color, 80, False).convert("RGB").get_flattened_data()
        shown = {
            other: sum(f"#{red:02x}{green:02x}{blue:02x}" in fills for red, green, blue in pixels)
            for other, fills in COLORS.items()
        }
        assert max(shown, key=lambda other: shown[other]) == color
        assert shown[color] > 0.04 * len(list(pixels))


def test_words_take_their_plural_and_article():
    assert (plural("dog"), plural("butterfly"), plural("sheep")) == ("dogs", "butterflies", "sheep")
    assert (with_article("apple"), with_article("red apple")) == ("an apple", "a red apple")
