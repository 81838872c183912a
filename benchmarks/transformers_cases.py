"""Architectures of `transformers`, each with a small random configuration: a list for `onnx-debug survey`.

    onnx-debug survey benchmarks/transformers_cases.py --db build/transformers.db --markdown docs/survey.md

A model is made from its configuration class alone: every size that the class names is made small, in
its parts too. What it is called with follows from its kind. Few classes need a word of their own,
mostly where sizes depend on each other.
"""

from __future__ import annotations

from functools import partial

import torch
from transformers import AutoConfig, AutoModel

WIDTH, IMAGE = 32, 64

# Sizes by the names that configuration classes give them.
SMALL = {
    **dict.fromkeys(
        ("hidden_size", "d_model", "dim", "n_embd", "embedding_size", "emb_dim"), WIDTH
    ),
    **dict.fromkeys(("embed_dim", "word_embed_proj_dim", "qkv_channels", "conv_dim_out"), WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "hidden_dim"), 2 * WIDTH),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dff", "ffn_hidden_size"), 2 * WIDTH),
    **dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers"), 2
    ),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads", "heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts", "num_local_experts"), 4),
    **dict.fromkeys(("vocab_size", "src_vocab_size", "tgt_vocab_size"), 99),
    **dict.fromkeys(("head_dim", "d_kv", "rotary_dim"), 8),
    "moe_intermediate_size": WIDTH,
    "shared_expert_intermediate_size": WIDTH,
    "image_size": IMAGE,
    "patch_size": 16,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}

# By kind, which says what goes in. After a name stands what its class needs to be told besides.
TEXT = {
    "albert": {},
    "bert": {},
    "big_bird": {"block_size": 4, "num_random_blocks": 1},
    "canine": {},
    "convbert": {},
    "deberta": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True},
    "deberta-v2": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True},
    "distilbert": {},
    "electra": {},
    "esm": {"vocab_size": 99},
    "fnet": {},
    "longformer": {"attention_window": [4, 4]},
    "mobilebert": {"true_hidden_size": WIDTH, "intra_bottleneck_size": WIDTH},
    "modernbert": {},
    "mpnet": {},
    "nystromformer": {"num_landmarks": 4, "segment_means_seq_len": 16},
    "rembert": {"input_embedding_size": WIDTH, "output_embedding_size": WIDTH},
    "roberta": {},
    "roformer": {},
    "squeezebert": {},
    "xlm": {},
    "xlnet": {"d_head": 8, "d_inner": 64},
    "yoso": {},
}
DECODER = {
    "biogpt": {},
    "bloom": {},
    "codegen": {},
    "ctrl": {},
    "deepseek_v3": {
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 8,
        "q_lora_rank": 8,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
    },
    "falcon": {},
    "falcon_mamba": {},
    "gemma": {},
    "gemma2": {},
    "gemma3_text": {},
    "glm": {},
    "gpt2": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gpt_neox": {},
    "gptj": {},
    "llama": {},
    "mamba": {},
    "mixtral": {},
    "mpt": {},
    "olmo2": {},
    "opt": {},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen2_moe": {},
    "qwen3": {},
    "starcoder2": {},
}
SEQ2SEQ = {
    "bart": {},
    "bigbird_pegasus": {"block_size": 4, "num_random_blocks": 1},
    "led": {"attention_window": [4, 4]},
    "longt5": {"local_radius": 4},
    "m2m_100": {},
    "marian": {},
    "mt5": {},
    "pegasus": {},
    "prophetnet": {"num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4},
    "t5": {},
}
VISION = {
    "beit": {},
    "bit": {"hidden_sizes": [32, 64], "num_groups": 8, "depths": [1, 1], "embedding_size": WIDTH},
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "cvt": {},
    "dinov2": {},
    "focalnet": {"embed_dim": 16, "depths": [1, 1], "hidden_sizes": [16, 32], "patch_size": 4},
    "mobilenet_v1": {},
    "mobilenet_v2": {},
    "mobilevit": {},
    "poolformer": {},
    "pvt": {},
    "regnet": {"hidden_sizes": [32, 64], "depths": [1, 1], "groups_width": 16},
    "resnet": {"hidden_sizes": [32, 64], "depths": [1, 1]},
    "segformer": {},
    "swin": {
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 4],
        "patch_size": 4,
        "window_size": 4,
    },
    "swinv2": {
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 4],
        "patch_size": 4,
        "window_size": 4,
    },
    "vit": {},
    "vit_mae": {},
    "yolos": {"image_size": [IMAGE, IMAGE]},
}
_WAVE = {
    "conv_dim": [16, 16],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
WAVEFORM = {"hubert": _WAVE, "wav2vec2": _WAVE, "wavlm": _WAVE}


def small(model_type, own):
    """The configuration of that type with small sizes, those of its parts included."""
    default = AutoConfig.for_model(model_type)
    parts = {name: getattr(default, name) for name in default.sub_configs}
    parts = {name: _sizes(part) for name, part in parts.items() if part is not None}
    return AutoConfig.for_model(model_type, **{**_sizes(default), **parts, **own})


def _sizes(config):
    """Of the small sizes those that a configuration has, by its own names."""
    ours = config.to_dict()
    return {name: size for name, size in SMALL.items() if isinstance(ours.get(name), int)}


def ids():
    """Token ids; the special ones are left out."""
    return torch.randint(3, 99, (2, 16))


def inputs(kind):
    """What a model of that kind is called with."""
    if kind is VISION:
        return {"pixel_values": torch.randn(2, 3, IMAGE, IMAGE)}
    if kind is WAVEFORM:
        return {"input_values": torch.randn(2, 1600)}
    asked = {"input_ids": ids(), "attention_mask": torch.ones(2, 16, dtype=torch.int64)}
    return {**asked, "decoder_input_ids": ids()} if kind is SEQ2SEQ else asked


def make(kind, model_type):
    """Model and inputs, the same ones in each process."""
    torch.manual_seed(0)
    config = small(model_type, kind[model_type])
    config.use_cache = False
    model = AutoModel.from_config(config).eval()
    return model, (), inputs(kind)


CASES = {
    model_type: partial(make, kind, model_type)
    for kind in (TEXT, DECODER, SEQ2SEQ, VISION, WAVEFORM)
    for model_type in kind
}
