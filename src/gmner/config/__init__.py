"""The configuration: typed models that are the only home of every default."""

from gmner.config.root import Config, ResolvedConfig, config_schema, load_config, load_config_file

RESULT_NEUTRAL = True  # values decide, and each stage is given its own: they are parameters of the rules

__all__ = ["Config", "ResolvedConfig", "config_schema", "load_config", "load_config_file"]
