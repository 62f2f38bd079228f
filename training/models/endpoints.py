"""Models served elsewhere, and what their answers cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Usage(models.Model):
    """What an endpoint says it has read and written, and what that cost when it did."""

    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=18, decimal_places=8, default=Decimal(0))

    class Meta:
        abstract = True


class Endpoint(Usage):
    """A server that speaks OpenAI's interface, and the policy that it answers for."""

    class Length(models.TextChoices):
        MAX_TOKENS = "max_tokens", "max_tokens"
        MAX_COMPLETION_TOKENS = "max_completion_tokens", "max_completion_tokens"

    class Sent(models.TextChoices):
        TEMPERATURE = "temperature", _("Temperature")
        TOP_P = "top_p", _("Top-p")
        SEED = "seed", _("Seed")

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="endpoints")
    policy = models.OneToOneField("annotate.Policy", models.CASCADE, related_name="served_by")
    url = models.CharField(max_length=500, help_text="Up to /v1.")
    model = models.CharField(max_length=200, help_text="As the endpoint names it.")
    key_sealed = models.TextField(blank=True, editable=False)
    concurrency = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(1), MaxValueValidator(64)]
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=120, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )
    sent = models.JSONField(default=list, blank=True, help_text="Parameters that it understands.")
    length_parameter = models.CharField(max_length=30, choices=Length, default=Length.MAX_TOKENS)
    stop = models.JSONField(default=list, blank=True, help_text="Texts that end an answer.")
    price_prompt = models.DecimalField(
        max_digits=12, decimal_places=4, default=Decimal(0), validators=[MinValueValidator(0)]
    )
    price_completion = models.DecimalField(
        max_digits=12, decimal_places=4, default=Decimal(0), validators=[MinValueValidator(0)]
    )
    currency = models.CharField(max_length=3, default="USD")
    adapters_of = models.CharField(
        max_length=500, blank=True, help_text="The base model whose adapters it loads."
    )
    adapters_dir = models.CharField(
        max_length=500, blank=True, help_text="Our adapters' folder, as the endpoint sees it."
    )
    approved_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When a manager agreed to have it asked for answers.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["policy__slug"]

    def __str__(self) -> str:
        return f"endpoint {self.pk}"

    def sampling(self, loop: Any) -> dict[str, Any]:
        """The parameters that its completions are written with, as far as it understands them."""
        parameters: dict[str, Any] = {"max_new_tokens": loop.max_new_tokens}
        for name in (self.Sent.TEMPERATURE, self.Sent.TOP_P):
            if name in self.sent:
                parameters[str(name)] = getattr(loop, name)
        if self.stop:
            parameters["stop"] = list(self.stop)
        return parameters

    def trial_sampling(self) -> dict[str, Any]:
        """Parameters for one short answer."""
        parameters: dict[str, Any] = {"max_new_tokens": 64}
        if self.Sent.TEMPERATURE in self.sent:
            parameters["temperature"] = 1.0
        return parameters

    def cost_of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """What that many tokens cost, prices being per million."""
        return cost_of(prompt_tokens, completion_tokens, self.price_prompt, self.price_completion)


def cost_of(
    prompt_tokens: int, completion_tokens: int, price_prompt: Decimal, price_completion: Decimal
) -> Decimal:
    """The cost of these tokens at prices per million of them."""
    return (prompt_tokens * price_prompt + completion_tokens * price_completion) / 1_000_000
