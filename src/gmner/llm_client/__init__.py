"""Transport and money of paid models: asking, keeping answers, budgets."""
