"""The tokenizer alone counts what the encoder makes."""

import subprocess
import sys
from pathlib import Path

from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.row_lengths import RowLengths
from tests.helpers.tiny_training import FRAME, TYPES, completion


def lengths_agree(folder: Path, frame: Frame, factor: int, samples: list[Sample], texts: list[str]) -> None:
    for version, cot in (("standard", True), ("standard", False), ("short", True)):
        encoder = seam_of_folder(folder).encoder(folder, PromptSettings(version, TYPES, cot, frame))
        measure = RowLengths(folder, version, TYPES, cot, frame, factor)
        assert measure.prompts(samples).tolist() == [len(ids) for ids in encoder.prompts(samples)]
        assert measure.completions(texts).tolist() == [len(ids) for ids in encoder.completions(texts)]


def test_lengths_are_the_encoders(backbone: Path, samples: list[Sample]) -> None:
    texts = [completion(0, 0), "<think>a <|im_end|> b</think><answer>None</answer>", "<answer>X|PER|None</answer>"]
    lengths_agree(backbone, FRAME, 28, samples, texts)


def test_no_torch_is_needed() -> None:
    code = "import sys, gmner.commands.stages.targets; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
