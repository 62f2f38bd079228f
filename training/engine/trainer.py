"""One run on ``transformers.Trainer``: a Trainer "batch" is one optimizer step's examples.

The Trainer keeps what it is good at (optimizer, clipping, accelerate, state); the step itself
walks micro-batches here, and checkpoints are sealed here. In a group every process is given the
whole step and computes its share of it; gradients and numbers are added up once a step. Knows
nothing of messages, and of losses only that an Objective has them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerControl, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from . import checkpoint
from . import held_out as pairs_seen
from .chat import Tree
from .config import Optimisation
from .early import Enough, Patience
from .errors import EngineError, Stopped
from .examples import Examples
from .group import Group
from .layout import Layout
from .micro_batches import MicroBatches
from .objective import Objective, Terms
from .plan import learning_rate_factor, milestones, plan_steps
from .policy import load_trained, save_adapter
from .process import StopRequest
from .provenance import parts_of, write_parts
from .rundir import RunDir
from .schedule import Schedule
from .telemetry import Tally

log = logging.getLogger("engine")


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
        group: Group,
        micro_batches: MicroBatches,
        part: dict[str, Any],
    ) -> None:
        self.control: TrainerControl  # Trainer's own
        self.lr_scheduler: Any
        self.layout, self.objective, self.settings = layout, objective, settings
        self.train_examples, self.held_out = train, held_out
        self.run_dir, self.stop_request = run, stop
        self.group, self.micro_batches = group, micro_batches
        self.part = part  # what computes from here on
        self.parts_before: list[dict[str, Any]] = []
        self.steps = plan_steps(len(train.trees), settings.batch_size, settings.epochs, seed)
        self.total = len(self.steps)
        self.evaluate_at = (
            milestones(self.total, settings.eval_fraction) if held_out.trees else set()
        )
        self.values: dict[str, float] = {}  # of the step in progress
        self.final: dict[str, dict[str, float]] = {}  # the newest values of each split
        self.patience = Patience(run, settings.patience if held_out.trees else 0)
        self.ended_early: int | None = None
        self._saved: set[int] = set()  # steps checkpointed in this life
        self._rng: Tensor | None = None
        self._folder: Path | None = None
        super().__init__(model=model, args=self._arguments(run.path, settings, seed))
        # Gradients are added up by the group, once a step; a wrapper would do so again.
        self.accelerator.prepare_model = lambda model, **_: model
        for printing in (PrinterCallback, ProgressCallback):
            self.remove_callback(printing)
        self.add_callback(Schedule(self))

    def run(self) -> None:
        """Train to the end, from the newest whole checkpoint if there is one."""
        found = checkpoint.newest(self.run_dir.path)
        step = int(found.name.rpartition("-")[2]) if found else 0
        if found:
            log.info("going on from %s", found.name)
        self.parts_before = [one for one in parts_of(found) if one != self.part]
        due = step == 0 or step in self.evaluate_at
        self.args.eval_on_start = bool(
            self.held_out.trees and due and step not in self.run_dir.recorded_steps("held_out")
        )
        self.patience.recall(step)
        try:
            if self.patience.is_spent:
                self.state.global_step = step
                raise Enough
            self.train(resume_from_checkpoint=str(found) if found else None)
        except Enough:
            self.ended_early = self.state.global_step
        if self.ended_early is None and self.state.global_step < self.total:
            raise Stopped  # asked to, in whichever process of the group
        self._return_to_best()

    def _return_to_best(self) -> None:
        """With patience, what is published is the adapter of the best evaluation."""
        best = self.patience.best
        if best is None:
            return
        load_trained(self.model, self.patience.folder(best))
        self.final["held_out"] = self.patience.values_at(best)
        if self.ended_early is not None:
            log.info("ended early at step %d of %d", self.ended_early, self.total)
        log.info("the best held-out evaluation was at step %d", best)

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
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        trees = [self.train_examples.trees[i] for i in inputs]
        divisor = self.objective.share(trees)
        tally = Tally()

        def learn(indices: list[int]) -> None:
            if self.stop_request:
                self._keep_and_stop(model)
            terms, part = self._terms(self.train_examples, indices)
            loss = terms.loss / divisor
            # Not backward(): what runs out of memory half-way must leave no gradient behind.
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = (
                        gradient if parameter.grad is None else parameter.grad.add_(gradient)
                    )
            cached = self.train_examples.cached(indices)
            tally.add(loss.detach(), terms.sums, terms.count, part, self.layout, cached)

        self._walk(self.train_examples, inputs, learn)
        self.group.sum_gradients(parameters)
        tally.gather(self.group)
        if not math.isfinite(tally.loss):
            raise self._not_finite(f"The loss is {tally.loss}")
        self.values = {**tally.values(), "memory_splits": float(self.micro_batches.splits)}
        return torch.tensor(tally.loss, dtype=torch.float32, device=self.args.device)

    def _walk(
        self, examples: Examples, inputs: list[int], compute: Callable[[list[int]], None]
    ) -> None:
        """Call ``compute`` with the indices of every micro-batch of this process's share."""
        trees = [examples.trees[i] for i in inputs]

        def idle() -> None:
            logp = self.layout.logps(self.model, trees[:1])
            if logp.requires_grad:  # the backward pass, too, needs all processes
                parameters = [p for p in self.model.parameters() if p.requires_grad]
                torch.autograd.grad(logp.sum(), parameters, allow_unused=True)

        self.micro_batches.walk_share(
            trees, self.group, lambda chosen: compute([inputs[i] for i in chosen]), idle
        )

    def _terms(self, examples: Examples, indices: list[int]) -> tuple[Terms, list[Tree]]:
        """What the objective makes of these examples under the model as it is."""
        part = [examples.trees[i] for i in indices]
        logp = self.layout.logps(self.model, part)
        return self.objective.terms(logp, examples.reference(indices, logp.device), part), part

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
        if self.group.world > 1:
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
        share = self.objective.share(self.held_out.trees)
        tally = Tally()
        rows: dict[str, pairs_seen.PairRow] = {}

        def look(indices: list[int]) -> None:
            if self.stop_request and self.group.world == 1:
                if step > 0:
                    self._save_checkpoint(self.model, None)
                raise Stopped
            terms, part = self._terms(self.held_out, indices)
            cached = self.held_out.cached(indices)
            tally.add(terms.loss / share, terms.sums, terms.count, part, self.layout, cached)
            if terms.pairs is not None:
                rows.update((row.id, row) for row in pairs_seen.rows_of(part, terms.pairs))

        with torch.no_grad():
            self._walk(self.held_out, list(range(len(self.held_out.trees))), look)
        tally.gather(self.group)
        values = tally.values()
        self.patience.look(step, values, self.model)
        self._keep_rows(rows)
        self.run_dir.metrics(step, self.total, "held_out", values)
        log.info("step %d of %d: held-out loss %.4f", step, self.total, values["loss"])
        if self.patience.is_spent:
            self.group.wait()  # nobody reads what another is still writing
            raise Enough
        self.final["held_out"] = values
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        self.run_dir.phase("training")
        return values

    def _keep_rows(self, rows: dict[str, pairs_seen.PairRow]) -> None:
        """What this evaluation says of every pair, from all processes, in the file's order."""
        found = {key: row for part in self.group.all(rows) for key, row in part.items()}
        if found and self.run_dir.writes:
            in_order = [found[tree.id] for tree in self.held_out.trees if tree.id in found]
            pairs_seen.write(self.run_dir.path, in_order)

    # -- checkpoints ---------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trainer's own files, written where a dying process leaves nothing that counts.

        The first process makes the folder and seals it; the others add their random state.
        """
        step = self.state.global_step
        if step in self._saved:
            return
        if self.group.rank == 0:
            with checkpoint.new_checkpoint(self.run_dir.path, step) as folder:
                self.group.wait()
                self._write_checkpoint(folder, model, trial)
                self.group.wait()
                inner = folder / f"checkpoint-{step}"
                for path in inner.iterdir():
                    path.rename(folder / path.name)
                inner.rmdir()
                write_parts(folder, self.parts_before, self.part)
        else:
            self.group.wait()
            folder = checkpoint.unfinished(self.run_dir.path, step)
            self._write_checkpoint(folder, model, trial)
            self.group.wait()
        self.patience.forget()
        self._saved.add(step)

    def _write_checkpoint(self, folder: Path, model: Any, trial: Any) -> None:
        self._folder = folder
        super()._save_checkpoint(model, trial)
        self._folder = None

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


def _only(items: list[Any]) -> Any:
    return items[0]
