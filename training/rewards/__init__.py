"""Rewards of completions: a policy's implicit one and a reward model's, and what they serve for."""
