"""The paper's tables and its figure 3."""
