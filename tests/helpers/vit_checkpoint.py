"""Vision transformers as others compute them, from timm's tensors: float64 in NumPy.

Written from Dosovitskiy et al. (2021), Touvron et al. (DeiT, 2021; DeiT III, 2022: layer scale).
"""

import math

import numpy as np

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_erf = np.vectorize(math.erf)


def exact_gelu(x):
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def sigmoid_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def _norm(x, tensors, name):
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return normal * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _attend(x, tensors, name, num_heads):
    query, key, value = np.split(_linear(x, tensors, f"{name}.qkv"), 3, axis=-1)
    heads = []
    for columns in np.split(np.arange(x.shape[-1]), num_heads):
        scores = query[..., columns] @ key[..., columns].swapaxes(1, 2) / len(columns) ** 0.5
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ value[..., columns])
    return _linear(np.concatenate(heads, -1), tensors, f"{name}.proj")


def vit_logits(tensors, images, num_heads, *, gelu, mean=IMAGENET[0], std=IMAGENET[1]):
    """float64[n, classes] of bytes, uint8[n, height, width, channels]; sizes are multiples."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    x = (images / 255 - np.array(mean)) / np.array(std)
    kernel = tensors["patch_embed.proj.weight"]
    patch = kernel.shape[-1]
    tokens = [
        np.einsum("nyxc,dcyx->nd", x[:, row : row + patch, column : column + patch], kernel)
        for row in range(0, x.shape[1], patch)
        for column in range(0, x.shape[2], patch)
    ]
    x = np.stack(tokens, 1) + tensors["patch_embed.proj.bias"]
    if "cls_token" in tensors:
        if tensors["pos_embed"].shape[1] == x.shape[1]:  # which the class token has none of
            x = x + tensors["pos_embed"]
        x = np.concatenate([np.repeat(tensors["cls_token"], len(x), 0), x], 1)
    if tensors["pos_embed"].shape[1] == x.shape[1]:
        x = x + tensors["pos_embed"]
    block = 0
    while f"blocks.{block}.norm1.weight" in tensors:
        name = f"blocks.{block}"
        y = _attend(_norm(x, tensors, f"{name}.norm1"), tensors, f"{name}.attn", num_heads)
        x = x + y * tensors.get(f"{name}.ls1.gamma", 1)
        y = gelu(_linear(_norm(x, tensors, f"{name}.norm2"), tensors, f"{name}.mlp.fc1"))
        x = x + _linear(y, tensors, f"{name}.mlp.fc2") * tensors.get(f"{name}.ls2.gamma", 1)
        block += 1
    x = _norm(x, tensors, "norm")
    return _linear(x[:, 0] if "cls_token" in tensors else x.mean(1), tensors, "head")
