import time

import pytest

from tests.callbacks.logged import csv_rows
from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.callbacks import Throughput
from triscope.stages import MixtureStage


class Slow(Throughput):
    """Keeps what was logged; data and steps take a known time."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer, stage, batch, batch_idx) -> None:
        time.sleep(0.06)
        super().on_train_batch_start(trainer, stage, batch, batch_idx)
        time.sleep(0.02)

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        super().on_train_batch_end(trainer, stage, outputs, batch, batch_idx)
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items() if "speed/" in name})


def test_waiting_is_told_from_working_and_rows_from_images(tmp_path):
    base = prepare(tmp_path)
    watch = Slow()
    trainer = tiny_trainer(tmp_path, max_steps=2, log_every_n_steps=2, callbacks=[watch])
    trainer.fit(MixtureStage(lambda: tiny_model(base)), tiny_data(write_tiny_shards(tmp_path / "shards"), 2))
    assert watch.logged[0] == {}
    speed = watch.logged[1]
    assert speed["speed/rows_per_second"] == pytest.approx(2 * speed["speed/images_per_second"])  # two questions a picture
    assert speed["speed/tokens_per_second"] > 5 * speed["speed/rows_per_second"]
    seconds = 4 / speed["speed/images_per_second"]
    assert seconds > 2 * 0.08 and speed["speed/data_wait_share"] * seconds > 2 * 0.06
    assert speed["speed/data_wait_share"] < 1 - 2 * 0.02 / seconds


def test_a_run_s_figures_are_plausible(run_folder):
    rows = [row for row in csv_rows(run_folder) if "speed/rows_per_second" in row]
    assert len(rows) == 4
    assert all(0 <= row["speed/data_wait_share"] <= 1 and 0.05 < row["speed/peak_memory_gib"] < 64 for row in rows)
