"""Vision transformers as others store and compute them: timm's tensors, float64 in NumPy.

Written from Dosovitskiy et al. (2021), Touvron et al. (DeiT, 2021; DeiT III, 2022: layer scale).
"""

import math

import numpy as np

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_erf = np.vectorize(math.erf)


def random_vit(
    seed=0, *, width=64, depth=2, hidden=96, side=3, patch=4, channels=3, classes=5,
    class_token=True, class_position=True, layer_scale=False, head=True,
):  # fmt: skip
    """Tensors by timm's names, float32, scaled so that every layer matters."""
    rng = np.random.default_rng(seed)

    def drawn(*shape, scale=1.0, around=0.0):
        return (around + scale * rng.standard_normal(shape)).astype(np.float32)

    tensors = {}

    def norm(name):
        tensors[f"{name}.weight"] = drawn(width, scale=0.2, around=1.0)
        tensors[f"{name}.bias"] = drawn(width, scale=0.2)

    def linear(name, units, inputs):
        tensors[f"{name}.weight"] = drawn(units, inputs, scale=inputs**-0.5)
        tensors[f"{name}.bias"] = drawn(units, scale=0.2)

    if class_token:
        tensors["cls_token"] = drawn(1, 1, width)
    tokens = side**2 + (class_token and class_position)
    tensors["pos_embed"] = drawn(1, tokens, width)
    shape = (width, channels, patch, patch)
    tensors["patch_embed.proj.weight"] = drawn(*shape, scale=(channels * patch**2) ** -0.5)
    tensors["patch_embed.proj.bias"] = drawn(width, scale=0.2)
    for block in range(depth):
        prefix = f"blocks.{block}"
        norm(f"{prefix}.norm1")
        linear(f"{prefix}.attn.qkv", 3 * width, width)
        linear(f"{prefix}.attn.proj", width, width)
        norm(f"{prefix}.norm2")
        linear(f"{prefix}.mlp.fc1", hidden, width)
        linear(f"{prefix}.mlp.fc2", width, hidden)
        if layer_scale:
            tensors[f"{prefix}.ls1.gamma"] = drawn(width, scale=0.2, around=0.5)
            tensors[f"{prefix}.ls2.gamma"] = drawn(width, scale=0.2, around=0.5)
    norm("norm")
    if head:
        linear("head", classes, width)
    return tensors


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
