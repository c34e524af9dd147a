"""Features of pictures that a frozen tower has seen before.

The tower is frozen, so a picture has the same features in every epoch, stage and run. They are found again by the content
of the picture, in a folder named after the content of the tower: another tower, precision or set of taps never reads them.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

_DIGEST_BYTES = 16


class FeatureCache:
    """Features on disk, each a record of fixed size, read through the operating system's page cache.

    Every process appends to a segment of its own, and reads all segments that were there when it started: nothing is
    locked and nothing is overwritten. A record counts once its digest is written, which happens after its features.

    Args:
        folder: of all caches; this tower's is inside.
        tower: whose features are kept, weights in place.
        shape: (L, P, V) of the features of one picture.
        identity: what else decides the features, such as the taps.
    """

    def __init__(self, folder: str | Path, tower: nn.Module, shape: tuple[int, int, int], identity: Sequence[int]) -> None:
        self.shape = shape
        self.dtype = next(tower.parameters()).dtype
        self.folder = Path(folder) / _tower_digest(tower, (*shape, *identity))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._places: dict[bytes, tuple[Path, int]] = {}
        for digests in sorted(self.folder.glob("*.digests")):
            self._read_digests(digests)
        self._segment = self.folder / f"{uuid.uuid4().hex}.features"

    def __len__(self) -> int:
        return len(self._places)

    def features(self, pixels_ICHW: Tensor, encode: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
        """The features of pictures, encoding those that are new.

        Args:
            pixels_ICHW: uint8 pictures.
            encode: gives L tensors (I, P, V) for pictures.

        Returns:
            L tensors (I, P, V), on the device of the pictures.
        """
        contents = (picture.tobytes() for picture in pixels_ICHW.cpu().numpy())
        digests = [hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest() for content in contents]
        new = [number for number, digest in enumerate(digests) if digest not in self._places]
        if new:
            new_ILPV = torch.stack(encode(pixels_ICHW[new]), dim=1)
            self._append([digests[number] for number in new], new_ILPV)
        features_ILPV = torch.stack([self._read(digest) for digest in digests]).to(pixels_ICHW.device)
        return list(features_ILPV.unbind(1))

    def _append(self, digests: list[bytes], features_ILPV: Tensor) -> None:
        start = self._segment.stat().st_size // self._record_bytes if self._segment.exists() else 0
        with self._segment.open("ab") as file:
            file.write(features_ILPV.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        with self._segment.with_suffix(".digests").open("ab") as file:
            file.write(b"".join(digests))
        self._places.update({digest: (self._segment, start + number) for number, digest in enumerate(digests)})

    def _read(self, digest: bytes) -> Tensor:
        segment, number = self._places[digest]
        with segment.open("rb") as file:
            content = os.pread(file.fileno(), self._record_bytes, number * self._record_bytes)
        return torch.frombuffer(bytearray(content), dtype=self.dtype).view(self.shape)

    def _read_digests(self, file: Path) -> None:
        content = file.read_bytes()
        segment = file.with_suffix(".features")
        whole = min(len(content) // _DIGEST_BYTES, segment.stat().st_size // self._record_bytes)
        for number in range(whole):
            self._places[content[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]] = (segment, number)


def _tower_digest(tower: nn.Module, identity: Sequence[int]) -> str:
    """A name for all that decides the features."""
    digest = hashlib.blake2b(repr(tuple(identity)).encode(), digest_size=8)
    for name, tensor in tower.state_dict().items():
        digest.update(f"{name} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
