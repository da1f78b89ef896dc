"""One module per provider."""

RESULT_NEUTRAL = False  # decides what is sent and how the answer is read
