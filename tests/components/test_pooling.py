import pytest
import torch

from triscope.components.pooling import average_patches, pooled_patches


def test_pooling_averages_squares_of_the_grid_and_keeps_the_class_token():
    grid = torch.arange(16.0).view(4, 4)
    tokens = torch.cat([torch.tensor([100.0]), grid.flatten()]).view(1, 17, 1)
    assert average_patches(tokens, 2).flatten().tolist() == [100, 2.5, 4.5, 10.5, 12.5]
    assert average_patches(tokens, 1) is tokens


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_as_many_patches_are_left_as_announced(pool):
    assert average_patches(torch.zeros(2, 17, 3), pool).shape[1] == pooled_patches(17, pool)


@pytest.mark.parametrize(("patches", "pool"), [(17, 3), (16, 2), (19, 2)])
def test_a_grid_that_cannot_be_pooled_is_told(patches, pool):
    with pytest.raises(ValueError, match=f"pool={pool} needs .* found {patches} vectors"):
        pooled_patches(patches, pool)
