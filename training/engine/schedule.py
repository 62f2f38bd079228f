"""When a run evaluates, checkpoints and stops, and its line of metrics a step.

Knows the Trainer's callbacks, and nothing of what a step computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from .plan import milestones

if TYPE_CHECKING:
    from .trainer import EngineTrainer


class Schedule(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    def __init__(self, trainer: EngineTrainer) -> None:
        self.trainer = trainer
        self.save_at = milestones(trainer.total, trainer.settings.checkpoint_fraction)

    def on_step_begin(self, _: Any, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        t = self.trainer
        t.run_dir.phase("training", step=state.global_step, total_steps=t.total)

    def on_step_end(
        self, _: Any, state: TrainerState, control: TrainerControl, **__: Any
    ) -> TrainerControl:
        t, step = self.trainer, state.global_step
        t.run_dir.phase("training", step=step, total_steps=t.total)
        t.run_dir.metrics(step, t.total, "train", t.values)
        t.final["train"] = t.values
        stopping = t.group.any(bool(t.stop_request))
        control.should_evaluate = step in t.evaluate_at
        control.should_save = step in self.save_at or stopping
        control.should_training_stop |= stopping
        return control

    def on_save(self, _: Any, __: TrainerState, ___: TrainerControl, **____: Any) -> None:
        self.trainer.run_dir.at_checkpoint()
