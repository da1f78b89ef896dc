"""Images and texts through a trained run: entities with their places in the text and their boxes."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gmner.config.run import GenerateSettings
from gmner.core.answer import UNREADABLE_BOX
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.evaluation.predictions import predict_sample
from gmner.generation.decode import Decoder, Output
from gmner.generation.load import load_decoder, prompt_of_run
from gmner.generation.run import BatchDecoder, generate_outputs
from gmner.models.adapter_folder import MANIFEST_FILE, read_run
from gmner.models.encoding import PromptSettings
from gmner.reporting.annotate.requests import Request, clean_text, readable, sample_of
from gmner.storage.files import sha256_of_file

OFFSETS = ("start", "end", "char_start", "char_end")
UNREADABLE_IMAGE = "unreadable_image"


@dataclass(frozen=True)
class Annotation:
    """What a model says about one image and text; boxes are pixels of the upright image of `size_wh`.

    `offsets` say where each record's mention is in `text`: `start` and `end` in tokens, `char_start` and `char_end` in
    characters, ends exclusive, None if it is not in the text; `confidences` are None unless the model states them.
    `size_wh` is None for an image that could not be read.
    """

    name: str
    image: str
    text: str
    size_wh: tuple[int, int] | None
    records: tuple[Record, ...] = ()
    offsets: tuple[dict[str, int | None], ...] = ()
    confidences: tuple[float | None, ...] = ()
    reasoning: str | None = None
    problems: tuple[dict[str, str], ...] = ()
    output: str = ""
    finish_reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the annotation as plain values; boxes rounded to a tenth of a pixel."""
        return {
            "id": self.name,
            "image": self.image,
            "text": self.text,
            "image_size": list(self.size_wh) if self.size_wh else None,
            "entities": [
                {
                    "mention": record.mention,
                    "type": record.type,
                    **offsets,
                    "boxes": [[round(value, 1) for value in box] for box in record.boxes],
                    "confidence": confidence,
                }
                for record, offsets, confidence in zip(self.records, self.offsets, self.confidences, strict=True)
            ],
            "reasoning": self.reasoning,
            "problems": list(self.problems),
            "finish_reason": self.finish_reason,
        }


def backbone_of_run(run_dir: Path, backbone: Path | None = None) -> Path:
    """Return the folder of a run's backbone: the one that the run names, unless given. Raises DataError if missing."""
    place = backbone or Path(read_run(run_dir).backbone.get("folder") or "")
    if not (place / "config.json").exists():
        raise DataError(f"{place}: the run's backbone is not there; give its folder with --backbone")
    return place


def load_adapter(run_dir: Path | str, backbone: Path | str | None = None, max_new_tokens: int = 512) -> Decoder:
    """Load a trained run's adapter on its backbone, ready for `annotate`.

    Raises DataError if either folder is missing or they do not belong together.
    """
    run = Path(run_dir)
    place = backbone_of_run(run, Path(backbone) if backbone else None)
    settings = GenerateSettings(batch_size=1, max_new_tokens=max_new_tokens, merge=True)
    return load_decoder(place, run, prompt_of_run(run, place), settings)


def annotate(decoder: Decoder, image: Path | str, text: str) -> Annotation:
    """Annotate one image and text. Any kind of image does; a camera's orientation mark is applied.

    Html escapes in the text are decoded and runs of blanks become one, as in the training data. Raises DataError
    for an empty text, and for an image that cannot be read or is far too elongated.
    """
    words = clean_text(text)
    if not words:
        raise DataError("the text is empty; give the words that come with the image")
    sample = sample_of(Request(str(image), Path(image), tuple(words.split(" ")), str(image)))
    return _annotation(sample, decoder.decode_batch([sample])[0], decoder.encoder.prompt)


def annotate_many(
    requests: Sequence[Request], run_dir: Path, backbone: Path, settings: GenerateSettings, work_dir: Path
) -> Iterator[Annotation]:
    """Yield an annotation per request, in their order; the model is loaded once and batches go by length.

    Each batch is kept in `work_dir` as it is done, so that an interrupted call resumes there; the caller deletes the
    folder once all is written. An image that cannot be read gives an annotation that says so.
    """
    samples, broken = readable(requests)
    prompt = prompt_of_run(run_dir, backbone)
    outputs: dict[str, Output] = {}
    if samples:
        decoder = _decoder(samples, run_dir, backbone, prompt, settings, work_dir)
        identity = {
            "run": sha256_of_file(run_dir / MANIFEST_FILE),
            "generate": settings.model_dump(mode="json"),
            "requests": [[s.sample_id, s.image_path, list(s.size_wh), s.text] for s in samples],
        }
        found = generate_outputs(decoder, samples, work_dir, identity)
        outputs = {output.sample_id: output for output in found}
    by_name = {sample.sample_id: sample for sample in samples}
    for request in requests:
        if request.name in broken:
            problem = {"code": UNREADABLE_IMAGE, "detail": broken[request.name]}
            yield Annotation(request.name, str(request.image), " ".join(request.tokens), None, problems=(problem,))
        else:
            yield _annotation(by_name[request.name], outputs[request.name], prompt)


def _decoder(
    samples: Sequence[Sample],
    run_dir: Path,
    backbone: Path,
    prompt: PromptSettings,
    settings: GenerateSettings,
    work_dir: Path,
) -> BatchDecoder:
    if settings.engine == "vllm":
        from gmner.generation.vllm import load_vllm

        return load_vllm(backbone, run_dir, prompt, settings, samples, work_dir)
    return load_decoder(backbone, run_dir, prompt, settings)


def remove_work(work_dir: Path) -> None:
    """Delete what an annotation kept for resuming."""
    shutil.rmtree(work_dir, ignore_errors=True)


def _annotation(sample: Sample, output: Output, prompt: PromptSettings) -> Annotation:
    row = predict_sample(sample, asdict(output), prompt.frame, frozenset(prompt.types))
    entities = row["entities"]
    return Annotation(
        name=sample.sample_id,
        image=sample.image_path,
        text=sample.text,
        size_wh=sample.size_wh,
        records=tuple(_record(entity) for entity in entities),
        offsets=tuple({name: entity[name] for name in OFFSETS} for entity in entities),
        confidences=tuple(entity.get("confidence") for entity in entities),
        reasoning=row["reasoning"],
        problems=tuple({"code": str(p["code"]), "detail": str(p["detail"])} for p in row["problems"]),
        output=output.output,
        finish_reason=output.finish_reason,
    )


def _record(entity: dict[str, Any]) -> Record:
    # A region that could not be read stands as a box without extent; the problems say so, an image need not.
    boxes = (tuple(box) for box in entity["boxes"])
    return Record(entity["mention"], entity["type"], tuple(box for box in boxes if box != UNREADABLE_BOX))


def drawing_name(name: str) -> str:
    """Return a request's id as the name of a file: nothing that leads out of a folder."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "image"
