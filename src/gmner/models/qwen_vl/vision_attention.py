"""The frozen vision tower: forward only; on a GPU without flash-attn, all windows of all images in one call."""

import types
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(query, key, value, borders, scale) -> mixed values; (patches, heads, head size), borders as in cu_seqlens."""


def vision_tower(model: Any) -> Any:
    """Return the vision tower of a model without an adapter, or None if it has none."""
    return getattr(getattr(model, "model", None), "visual", None)


def run_tower_forward_only(model: Any) -> None:
    """Let the frozen tower of a model keep nothing for a backward pass.

    Where activations are computed again, transformers makes the output of every embedding ask for gradients, that of
    the tower's patches too: it would be run again and backward at each step, for nothing.
    """
    tower = vision_tower(model)
    if tower is not None:
        tower.forward = torch.no_grad()(tower.forward)


def join_windows(model: Any, attend: Attend | None = None) -> bool:
    """Let the tower of a Qwen2.5-VL attend over windows of any lengths at once; say whether there was one to change.

    Under SDPA, transformers attends window by window: some two thousand calls an image of 1024 visual tokens. On
    a GPU PyTorch's own kernel for rows of many lengths does a layer in one call; elsewhere windows of equal length
    go together. The result is the same up to rounding.
    """
    tower = vision_tower(model)
    if tower is None or not hasattr(tower, "fullatt_block_indexes"):
        return False
    for block in tower.blocks:
        block.attn.forward = types.MethodType(_forward_of(attend or attend_windows), block.attn)
    return True


def _forward_of(attend: Attend) -> Any:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **kwargs: Any,
    ) -> torch.Tensor:
        total = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        mixed = attend(query.to(value.dtype), key.to(value.dtype), value, cu_seqlens, self.scaling)
        return self.proj(mixed.reshape(total, -1))

    return forward


def attend_windows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, borders: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attend within each window: by PyTorch's kernel for many lengths on a GPU, else by groups of equal length."""
    lengths = lengths_of(borders)
    if query.device.type == "cuda" and query.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        longest = max(lengths)
        mixed = varlen_attn(
            query.contiguous(),
            key.contiguous(),
            value.contiguous(),
            borders.int(),
            borders.int(),
            longest,
            longest,
            scale=scale,
        )
        assert isinstance(mixed, torch.Tensor)
        return mixed
    return attend_by_length(query, key, value, lengths, scale)


def lengths_of(borders: torch.Tensor) -> list[int]:
    """Return the lengths of windows, read from the GPU once a forward pass: layers share the tensor of borders."""
    found: list[int] | None = getattr(borders, "_window_lengths", None)
    if found is None:
        found = (borders[1:] - borders[:-1]).tolist()
        borders._window_lengths = found  # type: ignore[attr-defined]
    return found


def attend_by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scale: float
) -> torch.Tensor:
    """Attend within windows of `lengths`, which follow one another; windows of one length go together."""
    starts: dict[int, list[int]] = {}
    start = 0
    for length in lengths:
        starts.setdefault(length, []).append(start)
        start += length
    mixed = torch.empty_like(value)
    for length, found in starts.items():
        if not length:
            continue
        where = (torch.tensor(found)[:, None] + torch.arange(length)).to(value.device)
        q, k, v = (tensor[where].transpose(1, 2) for tensor in (query, key, value))
        mixed[where] = scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
    return mixed
