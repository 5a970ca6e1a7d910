"""Windows, blend weights and noise, all anchored to the world and never to a file's corner."""
