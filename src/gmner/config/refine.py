"""Refinement after supervised fine-tuning: rejection sampling, and reinforcement learning on the scorer's verdicts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gmner.config.base import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class RewardSettings(Settings):
    """What an answer is worth: a weighted mean of set F1s in [0, 1], and a little for keeping the form.

    The parts follow what MCR (arXiv 2602.04486) and MAKAR (EMNLP 2025) reward: spans, types, regions, form.
    """

    mention: float = Field(0.0, ge=0)  # weight of the F1 over mentions alone
    mner: float = Field(0.3, ge=0)  # over mentions with types
    gmner: float = Field(0.7, ge=0)  # over mentions with types and regions, shaped by `iou`
    form: float = Field(0.1, ge=0)  # no problem in the answer, and none of its mentions foreign to the tweet
    # A region's worth by its IoU with the gold box: 1 from 0.5 on; the IoU itself; or a Gaussian around the gold box
    # whose variance grows with the box's sides (GUI-G2, arXiv 2507.15846), which also tells near misses apart.
    iou: Literal["hard", "linear", "gaussian"] = "linear"

    @model_validator(mode="after")
    def _check_weights(self) -> "RewardSettings":
        if self.mention + self.mner + self.gmner <= 0:
            raise ValueError("mention, mner and gmner are all 0; an answer's content must be worth something")
        return self


class RefineSettings(Settings):
    """How a trained run is refined; the split is train, the start is the run's own adapter or another run's.

    `rejection` samples answers, keeps those that are right with their reasoning, and trains on them with the run's own
    trainer. `grpo` is group-relative policy optimisation (arXiv 2402.03300) by TRL on the same adapter.
    """

    method: Literal["rejection", "grpo"] = "grpo"
    group: int = Field(8, ge=2)  # answers per tweet: MCR's and MAKAR's group size
    temperature: float = Field(1.0, gt=0, le=2)
    max_new_tokens: int = Field(512, ge=1)
    batch_size: int = Field(64, ge=1)  # answers that are decoded at a time
    reward: RewardSettings = RewardSettings()
    learning_rate: float = Field(1e-4, gt=0)
    # grpo
    steps: int = Field(300, ge=1)  # updates
    prompts: int = Field(8, ge=1)  # tweets per update
    micro_batch: int = Field(8, ge=1)  # answers that go through the model at once for their gradients
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.05
    clip: float = Field(1.0, gt=0)  # maximum gradient norm
    kl: float = Field(0.0, ge=0)  # weight of the divergence from the adapter it starts from; 0: no reference is kept
    epsilon: float = Field(0.2, gt=0)  # of the clipped ratio
    scale: Literal["group", "batch", "none"] = "group"  # what a group's rewards are divided by; none: Dr. GRPO
    # rejection
    epochs: int = Field(1, ge=1)
    keep: Share = 1.0  # reward of the GMNER part from which an answer counts as right
    most_kept: int = Field(2, ge=1)  # different right answers per tweet
    easy: Share = 0.25  # share of tweets that are always right which stays in the training set
    # Tweets that are sampled `group` times before grpo: those always or never right teach it nothing and are left out.
    curriculum: bool = True

    @model_validator(mode="after")
    def _check_batches(self) -> "RefineSettings":
        if (self.prompts * self.group) % self.micro_batch:
            raise ValueError(
                f"micro_batch is {self.micro_batch}, which does not divide the {self.prompts * self.group} answers of "
                "an update (prompts x group)"
            )
        return self
