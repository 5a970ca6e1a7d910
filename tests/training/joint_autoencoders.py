"""Small autoencoders with random weights, in the published form."""

import torch

from engine.networks.kl_autoencoder import empty_autoencoder, published_layout


def write_autoencoder(path, channels, latent=4, seed=0):
    """Halves the image; saved under the published names."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    network = AutoencoderKL.from_config(empty_autoencoder(channels, (32, 32), 1, latent).config)
    state = network.state_dict()
    layout = published_layout(network)
    torch.save({name: state[own].reshape(shape) for name, (own, shape) in layout.items()}, path)
    return path
