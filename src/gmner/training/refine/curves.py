"""The course of a refinement: rewards, their parts and the policy's spread over the updates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.training.curves import draw_line, save_figure, write_rows

RESULT_NEUTRAL = True  # what was measured, as a table and a drawing

_NAMES = {
    "reward": "reward",
    "reward_mention": "reward_mention",
    "reward_mner": "reward_mner",
    "reward_gmner": "reward_gmner",
    "reward_form": "reward_form",
    "reward_std": "reward_std",
    "equal_groups": "frac_reward_zero_std",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "kl": "kl",
    "entropy": "entropy",
    "answer_tokens": "completions/mean_length",
}
COLUMNS = ("step", *_NAMES)
_PANELS = (
    ("reward", "mean reward of sampled answers"),
    ("reward_gmner", "GMNER part"),
    ("reward_form", "form part"),
    ("entropy", "entropy of the policy"),
    ("answer_tokens", "tokens per answer"),
    ("grad_norm", "gradient norm"),
)


def policy_rows(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per update from the trainer's log."""
    return [
        {"step": entry["step"], **{name: entry.get(logged) for name, logged in _NAMES.items()}}
        for entry in history
        if "reward" in entry
    ]


def write_policy_curves(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write curves.csv and curves.png into `folder`."""
    from matplotlib.figure import Figure

    write_rows(folder / "curves.csv", rows, COLUMNS)
    figure = Figure(figsize=(9, 8), layout="constrained")
    for axis, (name, title) in zip(figure.subplots(3, 2).ravel(), _PANELS, strict=True):
        draw_line(axis, rows, name, title)
    save_figure(figure, folder / "curves.png")
