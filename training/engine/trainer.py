"""One run on ``transformers.Trainer``: a Trainer "batch" is one optimizer step's examples.

The Trainer keeps what it is good at (optimizer, clipping, accelerate, state); the step itself
walks micro-batches here, and checkpoints are sealed here. Knows nothing of messages, and of
losses only that an Objective has them.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from . import checkpoint
from .chat import Tree
from .config import Optimisation
from .errors import EngineError, Stopped
from .objective import Objective
from .plan import learning_rate_factor, milestones, plan_steps
from .policy import load_trained, save_adapter
from .process import StopRequest
from .reference import Layout
from .rundir import RunDir

log = logging.getLogger("engine")


class Examples:
    """Trees with their reference log-probabilities (a row of values a tree, or None)."""

    def __init__(self, trees: list[Tree], reference: Tensor | None) -> None:
        self.trees = trees
        self._rows: list[Tensor] | None = None
        if reference is not None:
            self._rows = list(torch.split(reference, [len(tree.branches) for tree in trees]))

    def reference(self, indices: list[int], device: torch.device) -> Tensor | None:
        """The reference values of these trees' branches, [S]."""
        if self._rows is None:
            return None
        return torch.cat([self._rows[i] for i in indices]).to(device)


class EngineTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """Trains the adapter of ``model`` on ``train``, watching ``held_out``."""

    def __init__(
        self,
        *,
        model: Any,
        layout: Layout,
        objective: Objective,
        train: Examples,
        held_out: Examples,
        settings: Optimisation,
        seed: int,
        run: RunDir,
        stop: StopRequest,
    ) -> None:
        self.control: TrainerControl  # Trainer's own
        self.lr_scheduler: Any
        self.layout, self.objective, self.settings = layout, objective, settings
        self.train_examples, self.held_out = train, held_out
        self.run_dir, self.stop_request = run, stop
        self.steps = plan_steps(len(train.trees), settings.batch_size, settings.epochs, seed)
        self.total = len(self.steps)
        self.evaluate_at = (
            milestones(self.total, settings.eval_fraction) if held_out.trees else set()
        )
        self.values: dict[str, float] = {}  # of the step in progress
        self.final: dict[str, dict[str, float]] = {}  # the newest values of each split
        self._saved: set[int] = set()  # steps checkpointed in this life
        self._rng: Tensor | None = None
        self._folder: Path | None = None
        super().__init__(model=model, args=self._arguments(run.path, settings, seed))
        for printing in (PrinterCallback, ProgressCallback):
            self.remove_callback(printing)
        self.add_callback(_Schedule(self))

    def run(self) -> None:
        """Train to the end, from the newest whole checkpoint if there is one."""
        found = checkpoint.newest(self.run_dir.path)
        step = int(found.name.rpartition("-")[2]) if found else 0
        if found:
            log.info("going on from %s", found.name)
        due = step == 0 or step in self.evaluate_at
        self.args.eval_on_start = bool(
            self.held_out.trees and due and step not in self.run_dir.recorded_steps("held_out")
        )
        self.train(resume_from_checkpoint=str(found) if found else None)
        if self.stop_request and self.state.global_step < self.total:
            raise Stopped

    # -- one optimizer step --------------------------------------------------------------

    def training_step(
        self,
        model: Any,
        inputs: list[int],
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Tensor:
        """Forward and backward over the step's micro-batches; returns the step's loss."""
        self._rng = torch.get_rng_state()
        model.train()
        trees = [self.train_examples.trees[i] for i in inputs]
        bins = [
            [inputs[j] for j in bin] for bin in self.layout.plan(trees, self.settings.token_budget)
        ]
        share = self.objective.share(trees)
        tally = _Tally()
        for indices in bins:
            if self.stop_request:
                self._keep_and_stop(model)
            part = [self.train_examples.trees[i] for i in indices]
            logp = self.layout.logps(model, part)
            reference = self.train_examples.reference(indices, logp.device)
            terms = self.objective.terms(logp, reference, part)
            loss = terms.loss / share
            self.accelerator.backward(loss)
            tally.add(loss.detach(), terms.sums, terms.count, part, self.layout)
        if not math.isfinite(tally.loss):
            raise self._not_finite(f"The loss is {tally.loss}")
        self.values = tally.values()
        return torch.tensor(tally.loss, dtype=torch.float32, device=self.args.device)

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        value = float(norm)
        if not math.isfinite(value):
            raise self._not_finite(f"The gradient's norm is {value}")
        self.values["grad_norm"] = value
        self.values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        return norm

    def _not_finite(self, what: str) -> EngineError:
        return EngineError(
            "not_finite",
            f"{what} at step {self.state.global_step + 1}",
            "Lower optimisation.learning_rate, or look for broken pairs; the last checkpoint is "
            "kept as it was.",
        )

    def _keep_and_stop(self, model: Any) -> None:
        """In the middle of a step: keep the state before it, which is still in place."""
        if self.accelerator.num_processes > 1:
            return  # all must leave at the same place: the step's end
        if self._rng is not None:
            torch.set_rng_state(self._rng)
        if self.state.global_step > 0:
            self._save_checkpoint(model, None)
        raise Stopped

    # -- what Trainer asks for -----------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One item a step, the same on every process: the plan shares it out, not the loader."""
        return DataLoader(
            self.steps,  # type: ignore[arg-type]
            batch_size=1,
            shuffle=False,
            collate_fn=_only,
            generator=torch.Generator(),  # its own: the loader must not use up the run's
        )

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            warmup = math.ceil(self.settings.warmup_fraction * num_training_steps)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,
                lambda step: learning_rate_factor(step, num_training_steps, warmup),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Held-out metrics, written to ``metrics.jsonl``; the same numbers as a training step's."""
        step = self.state.global_step
        self.run_dir.phase("evaluating", step=step, total_steps=self.total)
        self.model.eval()
        trees = self.held_out.trees
        tally = _Tally()
        share = self.objective.share(trees)
        with torch.no_grad():
            for indices in self.layout.plan(trees, self.settings.token_budget):
                if self.stop_request and self.accelerator.num_processes == 1:
                    if step > 0:
                        self._save_checkpoint(self.model, None)
                    raise Stopped
                part = [trees[i] for i in indices]
                logp = self.layout.logps(self.model, part)
                terms = self.objective.terms(
                    logp, self.held_out.reference(indices, logp.device), part
                )
                tally.add(terms.loss / share, terms.sums, terms.count, part, self.layout)
        values = tally.values()
        self.run_dir.metrics(step, self.total, "held_out", values)
        self.final["held_out"] = values
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        self.run_dir.phase("training")
        return values

    # -- checkpoints ---------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trainer's own files, written where a dying process leaves nothing that counts."""
        step = self.state.global_step
        if step in self._saved:
            return
        with checkpoint.new_checkpoint(self.run_dir.path, step) as folder:
            self._folder = folder
            super()._save_checkpoint(model, trial)
            inner = folder / f"checkpoint-{step}"
            for path in inner.iterdir():
                path.rename(folder / path.name)
            inner.rmdir()
        self._folder = None
        self._saved.add(step)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._folder) if self._folder else str(super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        save_adapter(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(model or self.model, Path(resume_from_checkpoint))

    @staticmethod
    def _arguments(folder: Path, settings: Optimisation, seed: int) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=1,  # one item is one step's examples
            num_train_epochs=1,  # the plan of steps knows the real epochs
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            seed=seed,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
            save_strategy="no",  # the schedule below says when
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )


class _Tally:
    """Sums over a step's micro-batches, and what was computed for them."""

    def __init__(self) -> None:
        self.loss = 0.0
        self._sums: dict[str, float] = defaultdict(float)
        self._count = self._in_rows = self._used = self._computed = 0
        self._began = time.monotonic()

    def add(
        self, loss: Tensor, sums: dict[str, Tensor], count: int, trees: list[Tree], layout: Layout
    ) -> None:
        self.loss += float(loss)
        for name, value in sums.items():
            self._sums[name] += float(value)
        self._count += count
        tokens = layout.count(trees)
        self._in_rows += tokens.in_rows
        self._used += tokens.used
        self._computed += tokens.computed

    def values(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self._began, 1e-9)
        means = {name: value / self._count for name, value in self._sums.items()}
        return {
            "loss": self.loss,
            **means,
            # Tokens of prompt + answer, however they were computed: comparable between layouts.
            "tokens_per_second": self._in_rows / seconds,
            "computed_tokens_per_second": self._computed / seconds,
            "padding_share": 1 - self._used / self._computed,
            "tokens_saved": float(self._in_rows - self._used),
        }


class _Schedule(TrainerCallback):  # type: ignore[misc]
    """When to evaluate, to checkpoint and to stop; and the line of metrics a step."""

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
        control.should_evaluate = step in t.evaluate_at
        control.should_save = step in self.save_at or bool(t.stop_request)
        control.should_training_stop |= bool(t.stop_request)
        return control


def _only(items: list[Any]) -> Any:
    return items[0]
