"""The configuration: typed models that are the only home of every default."""

from gmner.config.root import Config, ResolvedConfig, config_schema, load_config, load_config_file

__all__ = ["Config", "ResolvedConfig", "config_schema", "load_config", "load_config_file"]
