"""Weight-entangled vision transformers in tf_keras, and their training.

- Networks: ``Architecture``, ``Subnet``, ``Supernet``, ``build_subnet``, ``load_model``,
  ``load_vit``.
- Training: ``SupernetTrainer``, ``train_subnet``, ``batches``, ``TrainingRecipe``, and a
  ``convolutional_teacher``.
- Where it starts: ``initialise_attention``, ``initialise_low_rank``, ``full_matrices``,
  ``factorise``, ``inherit_weights``.
- Layers of a network of your own, for ``tf_keras.Model``: ``PatchEmbed``, ``ConvStem``,
  ``LayerNorm``, ``FullyConnected``, ``Attention``, ``Gelu``, ``Add``, ``TokenPool``, ``MeanPool``,
  ``ClassToken``, ``ClassTokenPool``.
- Widths of a quantized network: ``QuantizationConfig``.

Names load on first use; modules below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.keras_models.layers.add import Add
    from mcuformer_tflm.keras_models.layers.attention import Attention
    from mcuformer_tflm.keras_models.layers.class_token import ClassToken, ClassTokenPool
    from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
    from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
    from mcuformer_tflm.keras_models.layers.gelu import Gelu
    from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
    from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
    from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
    from mcuformer_tflm.keras_models.layers.token_pool import TokenPool
    from mcuformer_tflm.keras_models.pretrained.vit import load_vit
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.keras_models.saved_model import load_model
    from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
    from mcuformer_tflm.keras_models.supernet import Supernet
    from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
    from mcuformer_tflm.keras_models.training.batches import Batches, batches
    from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
    from mcuformer_tflm.keras_models.training.low_rank import (
        factorise,
        full_matrices,
        initialise_low_rank,
    )
    from mcuformer_tflm.keras_models.training.origin import data_origin
    from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
    from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher
    from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, train_subnet

_HOMES = {
    "Add": "layers.add",
    "Architecture": "architecture",
    "Attention": "layers.attention",
    "Batches": "training.batches",
    "ClassToken": "layers.class_token",
    "ClassTokenPool": "layers.class_token",
    "ConvStem": "layers.conv_stem",
    "FullyConnected": "layers.fully_connected",
    "Gelu": "layers.gelu",
    "LayerNorm": "layers.layer_norm",
    "MeanPool": "layers.mean_pool",
    "PatchEmbed": "layers.patch_embed",
    "QuantizationConfig": "quantization.config",
    "Subnet": "subnet",
    "Supernet": "supernet",
    "SupernetTrainer": "training.trainers",
    "TokenPool": "layers.token_pool",
    "TrainingRecipe": "training.recipe",
    "batches": "training.batches",
    "build_subnet": "subnet",
    "convolutional_teacher": "training.teacher",
    "data_origin": "training.origin",
    "factorise": "training.low_rank",
    "full_matrices": "training.low_rank",
    "inherit_weights": "training.inheritance",
    "initialise_attention": "training.attention_start",
    "initialise_low_rank": "training.low_rank",
    "load_model": "saved_model",
    "load_vit": "pretrained.vit",
    "train_subnet": "training.trainers",
}

__all__ = [
    "Add",
    "Architecture",
    "Attention",
    "Batches",
    "ClassToken",
    "ClassTokenPool",
    "ConvStem",
    "FullyConnected",
    "Gelu",
    "LayerNorm",
    "MeanPool",
    "PatchEmbed",
    "QuantizationConfig",
    "Subnet",
    "Supernet",
    "SupernetTrainer",
    "TokenPool",
    "TrainingRecipe",
    "batches",
    "build_subnet",
    "convolutional_teacher",
    "data_origin",
    "factorise",
    "full_matrices",
    "inherit_weights",
    "initialise_attention",
    "initialise_low_rank",
    "load_model",
    "load_vit",
    "train_subnet",
]

load_on_first_use(__name__, _HOMES)
