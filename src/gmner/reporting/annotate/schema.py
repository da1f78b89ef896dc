"""The table that `gmner annotate --out FILE.parquet` writes."""

import pyarrow as pa

_SPAN = pa.list_(pa.int32())
_TEXTS = pa.struct([("code", pa.string()), ("detail", pa.string())])
_ENTITY = pa.struct(
    [
        ("mention", pa.string()),
        ("type", pa.string()),
        *((name, pa.int32()) for name in ("start", "end", "char_start", "char_end")),
        ("boxes", pa.list_(pa.list_(pa.float64()))),
        ("confidence", pa.float64()),
    ]
)
ANNOTATIONS = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("text", pa.string()),
        ("image_size", _SPAN),
        ("entities", pa.list_(_ENTITY)),
        ("reasoning", pa.string()),
        ("problems", pa.list_(_TEXTS)),
        ("finish_reason", pa.string()),
    ]
)
