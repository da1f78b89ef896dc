"""Attention of Qwen2.5-VL's vision tower over all images of a batch at once."""

import types
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision


def batch_equal_images(model: Any, fused: bool = True) -> None:
    """Let the vision tower attend over images of one size in one call instead of one call an image.

    Without FlashAttention, transformers splits the patches of a batch and attends image by image, layer by
    layer; on small images the calls cost more than the arithmetic. Where all chunks are equally long the
    result is the same up to rounding; any other batch takes the original path. `fused=False` multiplies the
    matrices one after the other: on CPUs the backward pass of the fused kernel is the slower one for short rows.
    """
    for block in model.model.visual.blocks:
        attention = block.attn
        attention.forward = types.MethodType(_forward_of(attention.forward, fused), attention)


def _forward_of(original: Any, fused: bool) -> Any:
    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **kwargs: Any,
    ) -> torch.Tensor:
        lengths = (cu_seqlens[1:] - cu_seqlens[:-1]).tolist()
        if len(lengths) < 2 or len(set(lengths)) > 1:
            return original(hidden_states, cu_seqlens=cu_seqlens, position_embeddings=position_embeddings, **kwargs)
        total = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
        cos, sin = position_embeddings
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        shape = (len(lengths), lengths[0], self.num_heads, -1)
        query, key, value = (part.to(value.dtype).reshape(shape).transpose(1, 2) for part in (query, key, value))
        if fused:
            mixed = scaled_dot_product_attention(query, key, value, scale=self.scaling)
        else:
            weights = (query @ key.transpose(-1, -2) * self.scaling).softmax(-1)
            mixed = weights.to(value.dtype) @ value
        return self.proj(mixed.transpose(1, 2).reshape(total, -1))

    return forward
