"""The processor of a Qwen2.5-VL model for images and text alone, without torchvision.

`transformers.Qwen2_5_VLProcessor` insists on a video processor and that one on torchvision, which has no build
beside the CPU build of torch (transformers issues 43986 and 48558). Images need neither.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from gmner.errors import ConfigError, DataError
from gmner.models.chat_template import chat_template_of

if TYPE_CHECKING:
    from gmner.core.frame import Frame

# What a backbone's image processor decides; the pixel limits are the frame's.
_OF_BACKBONE = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
# The name that each has in config.json, which counts if preprocessor_config.json does not say.
_OF_VISION = {
    "patch_size": "patch_size",
    "spatial_merge_size": "merge_size",
    "temporal_patch_size": "temporal_patch_size",
}
_IMAGE_TOKEN = "<|image_pad|>"
_PROBE = "gmner probes this template"  # a text that no template holds


class ImageTextProcessor(Qwen2_5_VLProcessor):
    """A Qwen2.5-VL processor made of an image processor, a tokenizer and a chat template."""

    def __init__(
        self,
        image_processor: Qwen2VLImageProcessorPil | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.image_token = _IMAGE_TOKEN
        self.video_token = "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token) if tokenizer else None
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token) if tokenizer else None
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Return the parts of the processor; the parent class would name a video processor too."""
        return ["image_processor", "tokenizer"]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the model's inputs that this processor makes."""
        return ["input_ids", "attention_mask", "pixel_values", "image_grid_thw", "mm_token_type_ids"]


def image_processor_of(frame: "Frame", folder: Path | None = None) -> Qwen2VLImageProcessorPil:
    """Return the image processor that resizes images into `frame`: its pixel limits and no others.

    Patch size and colour normalisation are those of a backbone's `folder`, or Qwen2.5-VL's. Raises ConfigError
    if the frame's factor is not the side of one visual token of the backbone.
    """
    config = _json_of(folder / "preprocessor_config.json") if folder else {}
    vision = _json_of(folder / "config.json").get("vision_config", {}) if folder else {}
    told = {name: vision[key] for key, name in _OF_VISION.items() if key in vision}
    told |= {name: config[name] for name in _OF_BACKBONE if name in config}
    made = Qwen2VLImageProcessorPil(
        size={"shortest_edge": frame.min_pixels, "longest_edge": frame.max_pixels},
        **told,
    )
    side = made.patch_size * made.merge_size
    if side != frame.factor:
        raise ConfigError(
            f"frame.factor is {frame.factor}, but a visual token of {folder} is {side} pixels wide "
            f"(patch {made.patch_size}, merged by {made.merge_size}); set frame.factor: {side}"
        )
    return made


def _json_of(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found if isinstance(found, dict) else {}


def load_processor(folder: Path | str, frame: "Frame") -> ImageTextProcessor:
    """Load the tokenizer and chat template of a backbone's folder; images are resized into `frame`.

    The pixel limits that the folder's own image processor carries are never used: they differ between hub
    models and training, and boxes would land in another coordinate frame. Raises DataError if the folder
    has no tokenizer, and if its chat template cannot take images; the message names the template's file.
    """
    place = Path(folder)
    if not (place / "tokenizer.json").exists():
        raise DataError(f"{place}: no tokenizer.json; expected a backbone's folder: run the backbone stage again")
    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    template, source = chat_template_of(place)
    processor = ImageTextProcessor(image_processor_of(frame, place), tokenizer, chat_template=template)
    _check_template(processor, source)
    return processor


def _check_template(processor: ImageTextProcessor, source: Path) -> None:
    """Raise DataError if a chat template does not place one image and write a message's text once."""
    message: Any = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _PROBE}]}
    try:
        chat = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of others and may fail in any way
        problem = f"it fails on a message with an image ({type(error).__name__}: {error})"
    else:
        images, texts = chat.count(_IMAGE_TOKEN), chat.count(_PROBE)
        if (images, texts) == (1, 1):
            return
        problem = f"of one image and one text it writes {images} image tokens and {texts} texts"
    raise DataError(
        f"{source}: this chat template cannot take images: {problem}; expected one that writes {_IMAGE_TOKEN} for an "
        "image: put the model's own template for images beside it as chat_template.jinja, or choose a vision-language "
        "model"
    )
