"""The stage `backbone`: one backbone as a folder that later stages load without a network."""

import functools
from pathlib import Path

from gmner.config.model import HubBackbone, LocalBackbone
from gmner.config.stages import BackboneStage
from gmner.core.frame import Frame
from gmner.models.families import DEFAULT_FAMILY
from gmner.models.folder import accept_backbone, copy_backbone


def prepare_backbone(settings: BackboneStage, tiny: Path, out_dir: Path) -> None:
    """Fetch, link or copy a backbone into `out_dir`; `tiny` is the folder of the one that ships here.

    Raises DataError, before anything is moved to `out_dir`, for a model of another family than the configuration says
    and for a chat template that cannot take images.
    """
    backbone = settings.backbone
    frame = Frame(**backbone.frame.model_dump())
    family = DEFAULT_FAMILY if backbone.kind == "tiny" else backbone.family
    accept = functools.partial(accept_backbone, family=family, frame=frame)
    about = {"kind": backbone.kind, "id": settings.name, "revision": None}
    if isinstance(backbone, HubBackbone):
        from gmner.models.hub import fetch_hub

        fetch_hub(backbone.id, backbone.revision, backbone.mirror, out_dir, accept)
    elif isinstance(backbone, LocalBackbone):
        copy_backbone(Path(backbone.path), out_dir, about, "set the backbone's 'path'", accept)
    else:
        hint = "it ships in workflow/assets/tiny: run from the project's folder"
        copy_backbone(tiny, out_dir, about, hint, accept)
