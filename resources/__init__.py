"""Shared data of the plugin and the engine: icons, styles, class legends, bundled models, sample scene."""
