import time

import pytest

from tests.callbacks.logged import csv_rows
from tests.ranks import on_ranks
from tests.tiny_model import prepare, tiny_data, tiny_model, tiny_trainer, write_tiny_shards
from triscope.callbacks import Throughput
from triscope.callbacks.throughput import Interval, together
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


def test_processes_add_their_counts_and_the_slowest_one_takes_the_time():
    quick, slow = Interval(4, 2, 100, 8.0, 2.0, 1.5), Interval(6, 3, 300, 10.0, 0.0, 3.0)
    assert together([quick, slow]) == {
        "rows_per_second": 1.0,
        "images_per_second": 0.5,
        "tokens_per_second": 40.0,
        "data_wait_share": 0.125,
        "peak_memory_gib": 3.0,
    }


def test_two_processes_tell_what_both_of_them_did(tmp_path):
    base, shards = prepare(tmp_path), write_tiny_shards(tmp_path / "shards", count=4)

    class Counting(Throughput):
        """Keeps what each process counted itself."""

        def _counted(self) -> Interval:
            self.own = super()._counted()
            return self.own

    def fit(rank: int) -> tuple[Interval, dict[str, float]]:
        watch = Counting()
        options = {"devices": 2, "strategy": "ddp", "log_every_n_steps": 2, "callbacks": [watch]}
        trainer = tiny_trainer(tmp_path / "run", max_steps=2, **options)
        trainer.fit(MixtureStage(lambda: tiny_model(base)), tiny_data(shards, 1))
        return watch.own, {name: float(value) for name, value in trainer.callback_metrics.items()}

    (first, told), (second, also_told) = on_ranks(2, tmp_path / "results", fit)
    expected = {f"speed/{name}": pytest.approx(value, rel=1e-5) for name, value in together([first, second]).items()}
    assert first.images == second.images == 2
    for logged in (told, also_told):
        assert {name: value for name, value in logged.items() if name.startswith("speed/")} == expected
