"""Transport and money of paid models: asking, keeping answers, budgets."""

RESULT_NEUTRAL = True  # how an answer is fetched, kept, retried and paid for never changes what it says
