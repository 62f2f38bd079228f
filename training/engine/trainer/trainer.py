"""One run: optimizer steps over a fixed plan, evaluations, checkpoints.

A step walks its micro-batches; in a group every process is given the whole step and computes its
share of it; gradients and numbers are added up once a step. Knows nothing of messages, and of
losses only that an Objective has them.
"""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from training.engine.config import Optimisation
from training.engine.data import held_out as pairs_seen
from training.engine.data.chat import Tree
from training.engine.data.examples import Examples
from training.engine.errors import EngineError, Stopped
from training.engine.forward.layout import Layout
from training.engine.forward.micro_batches import MicroBatches
from training.engine.forward.plan import learning_rate_factor, milestones, plan_steps
from training.engine.losses.objective import Objective, Terms
from training.engine.model.adapters import load_trained, save_adapter
from training.engine.runtime import checkpoint
from training.engine.runtime.process import StopRequest
from training.engine.runtime.process_group import Group
from training.engine.runtime.run_dir import RunDir
from training.engine.trainer.early_stopping import EarlyStopping
from training.engine.trainer.provenance import parts_of, write_parts
from training.engine.trainer.step_metrics import StepTally

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of AdamW (Loshchilov and Hutter 2019)
OPTIMIZER, SCHEDULER = "optimizer.pt", "scheduler.pt"
log = logging.getLogger("engine")


class Trainer:
    """Trains the adapter of ``model`` on ``train``, watching ``held_out``.

    ``observers`` are called with the step's number before the first step and after every one;
    they may look, and change nothing.
    """

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
        self.model, self.layout = model, layout
        self.objective, self.settings = objective, settings
        self.train_examples, self.held_out = train, held_out
        self.run_dir, self.stop_request = run, stop
        self.group, self.micro_batches = group, micro_batches
        self.part = part  # what computes from here on
        self.parts_before: list[dict[str, Any]] = []
        self.steps = plan_steps(len(train.trees), settings.batch_size, settings.epochs, seed)
        self.total = len(self.steps)
        self.step = 0  # taken so far
        self.evaluate_at = (
            milestones(self.total, settings.eval_fraction) if held_out.trees else set()
        )
        self.save_at = milestones(self.total, settings.checkpoint_fraction)
        self.observers: list[Callable[[int], None]] = []
        self.final: dict[str, dict[str, float]] = {}  # the newest values of each split
        self.patience = EarlyStopping(run, settings.patience if held_out.trees else 0)
        self.ended_early: int | None = None
        self._saved: set[int] = set()  # steps checkpointed in this life
        self._rng: Tensor | None = None
        set_seed(seed)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(),
            lr=settings.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        warmup = math.ceil(settings.warmup_fraction * self.total)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(step, self.total, warmup)
        )

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices decay, vectors (a bias, a norm) do not."""
        decay = [p for p in self.parameters if p.ndim > 1]
        rest = [p for p in self.parameters if p.ndim <= 1]
        return [
            {"params": decay, "weight_decay": self.settings.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]

    # -- the run -------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, from the newest whole checkpoint if there is one."""
        newest = checkpoint.newest(self.run_dir.path)
        if newest:
            log.info("going on from %s", newest.name)
            self._resume(newest)
        self.parts_before = [part for part in parts_of(newest) if part != self.part]
        self.patience.recall(self.step)
        self._train()
        self._return_to_best()

    def _train(self) -> None:
        if self._is_enough():
            return
        self._observe()
        due = self.step == 0 or self.step in self.evaluate_at
        if self.held_out.trees and due and not self._is_evaluated():
            self.evaluate()
            if self._is_enough():
                return
        while self.step < self.total:
            self.run_dir.phase("training", step=self.step, total_steps=self.total)
            values = self.training_step(self.steps[self.step])
            self.step += 1
            self.run_dir.phase("training", step=self.step, total_steps=self.total)
            self.run_dir.metrics(self.step, self.total, "train", values)
            self.final["train"] = values
            stopping = self.group.any(bool(self.stop_request))
            self._observe()
            if self.step in self.evaluate_at:
                self.evaluate()
                if self._is_enough():
                    return
            if stopping or self.step in self.save_at:
                self._save()
                self.run_dir.at_checkpoint()
            if stopping and self.step < self.total:
                raise Stopped  # asked to, in whichever process of the group

    def _observe(self) -> None:
        for observer in self.observers:
            observer(self.step)

    def _is_evaluated(self) -> bool:
        return self.step in self.run_dir.recorded_steps("held_out")

    def _is_enough(self) -> bool:
        """Whether patience ends the run here."""
        if not self.patience.is_spent:
            return False
        self.ended_early = self.step
        return True

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

    def training_step(self, inputs: list[int]) -> dict[str, float]:
        """Forward, backward and update over the examples ``inputs``; returns the step's metrics."""
        self._rng = torch.get_rng_state()
        self.model.train()
        trees = [self.train_examples.trees[i] for i in inputs]
        divisor = self.objective.share(trees)
        tally = StepTally()

        def learn(indices: list[int]) -> None:
            if self.stop_request:
                self._keep_and_stop()
            terms, part = self._terms(self.train_examples, indices)
            loss = terms.loss / divisor
            # Not backward(): what runs out of memory half-way must leave no gradient behind.
            gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = (
                        gradient if parameter.grad is None else parameter.grad.add_(gradient)
                    )
            cached = self.train_examples.cached(indices)
            tally.add(loss.detach(), terms.sums, terms.count, part, self.layout, cached)

        self._walk(self.train_examples, inputs, learn)
        self.group.sum_gradients(self.parameters)
        tally.gather(self.group)
        if not math.isfinite(tally.loss):
            raise self._not_finite(f"The loss is {tally.loss}")
        values = {**tally.values(), "memory_splits": float(self.micro_batches.splits)}
        return {**values, **self._update()}

    def _update(self) -> dict[str, float]:
        """Clip the gradients and let the optimizer take its step."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        value = float(norm)
        if not math.isfinite(value):
            raise self._not_finite(f"The gradient's norm is {value}")
        learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return {"grad_norm": value, "learning_rate": learning_rate}

    def _walk(
        self, examples: Examples, inputs: list[int], compute: Callable[[list[int]], None]
    ) -> None:
        """Call ``compute`` with the indices of every micro-batch of this process's share."""
        trees = [examples.trees[i] for i in inputs]

        def idle() -> None:
            logp = self.layout.logps(self.model, trees[:1])
            if logp.requires_grad:  # the backward pass, too, needs all processes
                torch.autograd.grad(logp.sum(), self.parameters, allow_unused=True)

        self.micro_batches.walk_share(
            trees, self.group, lambda chosen: compute([inputs[i] for i in chosen]), idle
        )

    def _terms(self, examples: Examples, indices: list[int]) -> tuple[Terms, list[Tree]]:
        """What the objective makes of these examples under the model as it is."""
        part = [examples.trees[i] for i in indices]
        logp = self.layout.logps(self.model, part)
        return self.objective.terms(logp, examples.reference(indices, logp.device), part), part

    def _not_finite(self, quantity: str) -> EngineError:
        return EngineError(
            "not_finite",
            f"{quantity} at step {self.step + 1}",
            "Lower optimisation.learning_rate, or look for broken pairs; the last checkpoint is "
            "kept as it was.",
        )

    def _keep_and_stop(self) -> None:
        """In the middle of a step: keep the state before it, which is still in place."""
        if self.group.world > 1:
            return  # all must leave at the same place: the step's end
        if self._rng is not None:
            torch.set_rng_state(self._rng)
        if self.step > 0:
            self._save()
        raise Stopped

    # -- evaluation ----------------------------------------------------------------------

    def evaluate(self) -> None:
        """Held-out metrics, written to ``metrics.jsonl``; the same numbers as a training step's."""
        self.run_dir.phase("evaluating", step=self.step, total_steps=self.total)
        self.model.eval()
        share = self.objective.share(self.held_out.trees)
        tally = StepTally()
        rows: dict[str, pairs_seen.HeldOutPair] = {}

        def look(indices: list[int]) -> None:
            if self.stop_request and self.group.world == 1:
                if self.step > 0:
                    self._save()
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
        self.patience.look(self.step, values, self.model)
        self._keep_rows(rows)
        self.run_dir.metrics(self.step, self.total, "held_out", values)
        log.info("step %d of %d: held-out loss %.4f", self.step, self.total, values["loss"])
        if self.patience.is_spent:
            self.group.wait()  # nobody reads what another is still writing
            return
        self.final["held_out"] = values
        self.run_dir.phase("training")

    def _keep_rows(self, rows: dict[str, pairs_seen.HeldOutPair]) -> None:
        """What this evaluation says of every pair, from all processes, in the file's order."""
        by_id = {key: row for part in self.group.all(rows) for key, row in part.items()}
        if by_id and self.run_dir.writes:
            in_order = [by_id[tree.id] for tree in self.held_out.trees if tree.id in by_id]
            pairs_seen.write(self.run_dir.path, in_order)

    # -- checkpoints ---------------------------------------------------------------------

    def _save(self) -> None:
        """A checkpoint of the step taken last, where a dying process leaves nothing that counts.

        The first process writes what all have alike and seals the folder; the others add their
        random state.
        """
        if self.step in self._saved:
            return
        if self.group.rank == 0:
            with checkpoint.new_checkpoint(self.run_dir.path, self.step) as folder:
                self.group.wait()  # the folder is there
                save_adapter(self.model, folder)
                torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
                torch.save(self.scheduler.state_dict(), folder / SCHEDULER)
                self._save_random_state(folder)
                self.group.wait()  # all have written
                write_parts(folder, self.parts_before, self.part)
        else:
            self.group.wait()
            self._save_random_state(checkpoint.unfinished(self.run_dir.path, self.step))
            self.group.wait()
        self.patience.forget()
        self._saved.add(self.step)

    def _resume(self, folder: Path) -> None:
        """Take up what ``_save`` wrote."""
        self.step = int(folder.name.rpartition("-")[2])
        load_trained(self.model, folder)
        self.optimizer.load_state_dict(_load(folder / OPTIMIZER))
        self.scheduler.load_state_dict(_load(folder / SCHEDULER))
        try:
            states = _load(folder / self._random_state_file)
        except (OSError, pickle.UnpicklingError) as error:  # of an earlier version, say
            log.warning("%s: dropout's noise starts again: %s", folder.name, error)
            return
        torch.set_rng_state(states["cpu"])
        if torch.cuda.is_available() and states.get("cuda") is not None:
            torch.cuda.set_rng_state(states["cuda"])

    @property
    def _random_state_file(self) -> str:
        return "rng_state.pth" if self.group.world == 1 else f"rng_state_{self.group.rank}.pth"

    def _save_random_state(self, folder: Path) -> None:
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        states = {"cpu": torch.get_rng_state(), "cuda": cuda}
        torch.save(states, folder / self._random_state_file)


def _load(path: Path) -> Any:
    """Tensors and plain values; nothing that could run code."""
    return torch.load(path, map_location="cpu", weights_only=True)
