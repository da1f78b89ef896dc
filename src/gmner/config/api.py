"""Settings of the stage `api-outputs`: a provider's model that answers by itself, without training."""

from typing import Annotated, Literal

from pydantic import Field

from gmner.config.base import Settings
from gmner.config.stages import Question
from gmner.config.teachers import AnthropicTeacher, LocalTeacher, OpenAITeacher

PromptedSettings = Annotated[OpenAITeacher | AnthropicTeacher | LocalTeacher, Field(discriminator="provider")]


class ApiOutputsStage(Settings):
    """`gmner api-outputs`: who is asked (a teacher's settings), what, and how many examples it is shown.

    Coordinates are thousandths of the image's sides by default, since a provider resizes images as it likes.
    """

    name: str = Field(min_length=1)
    teacher: PromptedSettings
    question: Question
    coordinates: Literal["norm1000", "absolute"] = "norm1000"
    shots: int = Field(0, ge=0, le=64)  # examples from the training split
    shots_seed: int = Field(0, ge=0)
