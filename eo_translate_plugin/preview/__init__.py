"""Preview here: what the map shows, translated in the warm engine and laid over it as a temporary layer."""
