import pytest
import torch
from torch import Tensor

from triscope.data.batch import Placeholder, Row
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.fusion import IGNORED_LABEL, Features, check_placeholders, fuse

PIC, REG, SOFT = Placeholder.IMAGE, Placeholder.REGION, Placeholder.SOFT_PROMPT
NO, ONE, NINE = [SOFT, 11, 12, 13], [PIC, REG, 14, 15], [PIC, 16, *[PIC] * 8, REG, 17, 18, REG]  # images of the three rows
ROWS = [NO, ONE, NINE]
IMAGE_TOKENS, REGION_TOKENS, WIDTH = 3, 2, 2
both_sides = pytest.mark.parametrize("align_right", [False, True])


def padded(rows: list[list[int]], fill: int = 0) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*map(int, row), *[fill] * (longest - len(row))] for row in rows])


def inputs(image_tokens: int = IMAGE_TOKENS, rows: list[list[int]] = ROWS, region_tokens: int = REGION_TOKENS) -> dict:
    """Rows whose vectors all differ: text 11 is (11, 11), token q of image n 100 n + q, token r of region g 2000 + 10 g + r."""
    images, regions = (sum(row.count(kind) for row in rows) for kind in (PIC, REG))
    ids_BT = padded(rows)
    tokens_NQ = 100.0 * (1 + torch.arange(images))[:, None] + torch.arange(image_tokens)
    vectors = {
        "text_BTD": ids_BT.float(),
        "image_tokens_NQD": tokens_NQ,
        "region_tokens_GRD": 2000.0 + 10 * torch.arange(regions)[:, None] + torch.arange(region_tokens),
        "soft_prompt_D": torch.tensor(7.0),
    }
    vectors = {name: vector[..., None].repeat_interleave(WIDTH, -1).requires_grad_() for name, vector in vectors.items()}
    return {
        "ids_BT": ids_BT,
        "kept_BT": padded([[1] * len(row) for row in rows]).bool(),
        "supervised_BT": padded([[0] * (len(row) - 1) + [1] for row in rows[:2]] + [[0] * len(row) for row in rows[2:]]).bool(),
        "text_BTD": vectors.pop("text_BTD"),
        "features": Features(**vectors),
    }


def by_hand(
    image_tokens: int = IMAGE_TOKENS, rows: list[list[int]] = ROWS, region_tokens: int = REGION_TOKENS
) -> list[list[float]]:
    """The first number of every vector of every row, without padding."""
    images, regions = iter(range(1, 100)), iter(range(100))
    fused = []
    for row in rows:
        fused.append([])
        for token in row:
            match token:
                case Placeholder.IMAGE:
                    image = next(images)
                    fused[-1] += [100.0 * image + order for order in range(image_tokens)]
                case Placeholder.REGION:
                    region = next(regions)
                    fused[-1] += [2000.0 + 10 * region + order for order in range(region_tokens)]
                case Placeholder.SOFT_PROMPT:
                    fused[-1].append(7.0)
                case _:
                    fused[-1].append(float(token))
    return fused


@both_sides
@pytest.mark.parametrize(("image_tokens", "region_tokens"), [(0, 2), (1, 1), (3, 3)])
def test_every_placeholder_gives_way_to_its_feature_in_rows_with_0_1_and_9_images(align_right, image_tokens, region_tokens):
    fused = fuse(**inputs(image_tokens, region_tokens=region_tokens), align_right=align_right)
    expected = by_hand(image_tokens, region_tokens=region_tokens)
    longest = max(map(len, expected))
    assert fused.embeddings_BTD.shape == (3, longest, WIDTH)
    for row, vectors in enumerate(expected):
        padding = longest - len(vectors)
        columns = slice(padding, None) if align_right else slice(0, len(vectors))
        assert fused.embeddings_BTD[row, columns].tolist() == [[value] * WIDTH for value in vectors]
        assert fused.valid_BT[row, columns].all() and int(fused.valid_BT[row].sum()) == len(vectors)
        assert int(fused.embeddings_BTD[row].count_nonzero()) == len(vectors) * WIDTH  # padding is zero


@both_sides
def test_labels_stand_at_the_supervised_tokens_wherever_images_moved_them(align_right):
    fused = fuse(**inputs(), align_right=align_right)
    labelled = fused.labels_BT != IGNORED_LABEL
    assert labelled.sum(1).tolist() == [1, 1, 0]
    assert fused.labels_BT[labelled].tolist() == [13, 15]
    assert fused.embeddings_BTD[labelled][:, 0].tolist() == [13.0, 15.0]


def test_a_token_that_is_left_out_takes_no_room():
    given = inputs()
    given["kept_BT"] = given["kept_BT"] & ~given["supervised_BT"]
    fused = fuse(**given)
    assert fused.valid_BT.sum(1).tolist() == [len(row) - gone for row, gone in zip(by_hand(), (1, 1, 0), strict=True)]
    assert (fused.labels_BT == IGNORED_LABEL).all()


def test_text_alone_needs_no_feature():
    rows = [[11, 12], [13]]
    fused = fuse(**inputs(image_tokens=0, rows=rows))
    assert fused.embeddings_BTD[..., 0].tolist() == [[11.0, 12.0], [13.0, 0.0]]
    assert fused.valid_BT.tolist() == [[True, True], [True, False]]


def test_the_gradient_reaches_every_feature_once_and_no_padding():
    given = inputs()
    features = given["features"]
    fuse(**given).embeddings_BTD.sum().backward()
    for vectors in (features.image_tokens_NQD, features.region_tokens_GRD, features.soft_prompt_D):
        assert (vectors.grad == 1).all()
    is_text_BT = given["kept_BT"] & (given["ids_BT"] >= 0)
    assert (given["text_BTD"].grad[..., 0] == is_text_BT).all()


def test_features_take_the_precision_of_the_text():
    given = inputs()
    given["text_BTD"] = given["text_BTD"].bfloat16()
    assert fuse(**given).embeddings_BTD.dtype == torch.bfloat16


def rows_named(*keys: str) -> list[Row]:
    return [Row(key, "vqa", Level.IMAGE, "What?", ("yes",)) for key in keys]


@pytest.mark.parametrize("feature_row", [[0, 0, 1], [1, 1, 1, 1]])
def test_another_number_of_images_than_placeholders_is_refused_with_the_key_and_both_numbers(feature_row):
    ids_BT = torch.tensor([[PIC, PIC, 5], [PIC, 5, 5]])
    rows, kept_BT = rows_named("first:0", "second:0"), torch.ones(2, 3, dtype=torch.bool)
    check_placeholders(ids_BT, kept_BT, torch.tensor([0, 0, 1]), Placeholder.IMAGE, rows)
    broken_BT = ids_BT.clone()
    broken_BT[1, 1] = PIC
    with pytest.raises(ConfigurationError) as refusal:
        check_placeholders(broken_BT, kept_BT, torch.tensor(feature_row), Placeholder.IMAGE, rows)
    key, placeholders, images = ("second:0", 2, 1) if feature_row[0] == 0 else ("first:0", 2, 0)
    assert f"sample {key}: found {placeholders} image placeholder(s) and {images} image(s)" in str(refusal.value)
    assert "<image:k>" in str(refusal.value)


def test_placeholders_that_are_left_out_do_not_count():
    ids_BT, kept_BT = torch.tensor([[PIC, 5]]), torch.tensor([[False, True]])
    check_placeholders(ids_BT, kept_BT, torch.empty(0, dtype=torch.long), Placeholder.IMAGE, rows_named("blind:0"))
