"""Show that the loop learns: simulated raters judge over HTTP, rounds are trained, shares told."""

from __future__ import annotations

import json
import secrets
import time
from argparse import ArgumentParser
from collections import defaultdict
from random import Random
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from annotate.models import Completion, Membership, Policy, Project, User
from annotate.onboarding import texts
from training.demo.manners import better
from training.demo.measuring import MannerShare, manner_shares, win_rate
from training.demo.simulated_raters import SimulatedRater, Visitor, judge_together
from training.demo.world import MANNERS
from training.models import Round, SamplingJob

PATIENCE_SECONDS = 1200


class Command(BaseCommand):
    help = (
        "Drive the running app over HTTP with simulated raters who prefer answers that are "
        "direct and right, then polite, then short; train rounds; print what was learnt."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", default="demo")
        parser.add_argument("--raters", type=int, default=8)
        parser.add_argument("--judgements", type=int, default=400, help="before each round")
        parser.add_argument("--rounds", type=int, default=2)
        parser.add_argument("--error-rate", type=float, default=0.05)
        parser.add_argument("--url", default=settings.PUBLIC_URL)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true", help="end with one JSON object")

    def handle(self, **options: Any) -> None:
        began = time.monotonic()
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        self.quiet = options["json"]
        manager = self._visitor(project, "manager", Membership.Role.MANAGER, options["url"])
        raters = [
            SimulatedRater(
                visitor=self._visitor(project, str(n), Membership.Role.RATER, options["url"]),
                rate_path=reverse("rate", args=[project.slug]),
                prefer=better,
                error_rate=options["error_rate"],
                random=Random(f"{options['seed']}:{n}"),
            )
            for n in range(1, options["raters"] + 1)
        ]
        base = self._first_answers(project, manager)
        rounds = [self._measure(0, base, base)]
        self._table_head()
        self._table_row(rounds[0])
        for number in range(1, options["rounds"] + 1):
            judged = judge_together(raters, options["judgements"])
            if judged < options["judgements"]:
                raise CommandError(
                    f"Only {judged} of {options['judgements']} judgements could be given: "
                    "the queue stayed empty. All of them are kept."
                )
            policy = self._train(project, manager)
            rounds.append(self._measure(number, policy, base))
            self._table_row(rounds[-1])
        errors = manager.errors + sum(rater.visitor.errors for rater in raters)
        seconds = round(time.monotonic() - began, 1)
        self.stdout.write(
            f"\n{options['raters']} raters, {options['judgements']} judgements a round, error "
            f"rate {options['error_rate']:.0%}; {errors} errors; {seconds:.0f} s."
        )
        if options["json"]:
            self.stdout.write(json.dumps({"rounds": rounds, "errors": errors, "seconds": seconds}))

    def _visitor(self, project: Project, name: str, role: str, url: str) -> Visitor:
        """A simulated person's account, with a password of this run, logged in."""
        password = secrets.token_urlsafe(24)
        user, _ = User.objects.get_or_create(username=f"simulated-{name}")
        user.set_password(password)
        user.save(update_fields=["password"])
        member, _ = Membership.objects.update_or_create(
            project=project, user=user, defaults={"role": role}
        )
        texts.mark_read(membership=member)
        return Visitor(url=url, username=user.username, password=password)

    def _first_answers(self, project: Project, manager: Visitor) -> Policy:
        """Wait until the base model has answered every prompt."""
        if not Completion.objects.filter(prompt__project=project).exists():
            manager.post(reverse("start_sampling", args=[project.slug]), {})
        self._wait(lambda: _written(project), "the base model's answers")
        base = Policy.objects.filter(project=project, kind=Policy.Kind.BASE).first()
        if base is None:
            raise CommandError("The project has no base model; name one in its settings.")
        return base

    def _train(self, project: Project, manager: Visitor) -> Policy:
        """Press the button, wait for the round and for its policy's answers."""
        before = project.rounds.count()
        manager.post(reverse("start_round", args=[project.slug]), {})
        made = project.rounds.first()
        if made is None or project.rounds.count() == before:
            raise CommandError("The round did not start; the project's page says why.")

        def trained() -> bool:
            made.refresh_from_db()
            return made.is_finished

        self._wait(trained, f"round {made.number}")
        if made.state != Round.State.SUCCEEDED or made.policy is None:
            raise CommandError(f"Round {made.number} ended as {made.state}: {made.error}")
        self._wait(lambda: _written(project), f"the answers of round {made.number}'s policy")
        return made.policy

    def _wait(self, ready: Any, awaited: str) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > until:
                raise CommandError(f"Gave up waiting for {awaited}.")
            time.sleep(1)

    def _measure(self, number: int, policy: Policy, base: Policy) -> dict[str, Any]:
        """Shares on the prompts that no round trained on, and the win rate against the base."""
        conversations: dict[str, Any] = {}
        texts: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        answers = []
        held_out = Completion.objects.filter(
            policy__in=[policy, base], prompt__is_held_out=True
        ).select_related("prompt")
        for completion in held_out:
            key = str(completion.prompt_id)
            conversations[key] = completion.prompt.messages
            texts[completion.policy_id][key].append(completion.text)
            if completion.policy_id == policy.pk:
                answers.append((completion.prompt.messages, completion.text))
        shares = manner_shares(answers)
        wins = win_rate(texts[policy.pk], texts[base.pk], conversations)
        good = shares.get("direct", MannerShare(0.0, 0.0, 0.0))
        return {
            "round": number,
            "policy": policy.slug,
            "answers": len(answers),
            "good_share": round(good.value, 4),
            "good_low": round(good.low, 4),
            "good_high": round(good.high, 4),
            "win_rate_vs_base": round(wins.value, 4),
            "win_rate_low": round(wins.low, 4),
            "win_rate_high": round(wins.high, 4),
            "shares": {manner: round(share.value, 4) for manner, share in shares.items()},
        }

    def _table_head(self) -> None:
        manners = " | ".join([*MANNERS, "other"])
        self.stdout.write(f"| round | good (95 %) | {manners} | win rate vs base (95 %) |")
        self.stdout.write("|" + "---|" * (len(MANNERS) + 4))

    def _table_row(self, row: dict[str, Any]) -> None:
        shares = " | ".join(f"{row['shares'].get(name, 0):.0%}" for name in [*MANNERS, "other"])
        self.stdout.write(
            f"| {row['round']} | {row['good_share']:.0%} ({row['good_low']:.0%}–"
            f"{row['good_high']:.0%}) | {shares} | {row['win_rate_vs_base']:.0%} "
            f"({row['win_rate_low']:.0%}–{row['win_rate_high']:.0%}) |"
        )
        self.stdout.flush()


def _written(project: Project) -> bool:
    """Whether nothing is being written any more. A failed job is an error, not an end."""
    jobs = SamplingJob.objects.filter(project=project)
    failed = jobs.filter(state=SamplingJob.State.FAILED).first()
    if failed is not None:
        raise CommandError(f"Sampling failed: {failed.error}")
    return jobs.exists() and not jobs.filter(state__in=SamplingJob.UNFINISHED).exists()
