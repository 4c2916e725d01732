"""The test configurations: one base, and what each configuration changes in it.

Together they cover every option of the model, of the compression and of the training schedule.
Windows have 8 tokens, so the documents of corpus.py end in all possible ways.
"""

BASE = {
    "model.layers": 2,
    "model.width": 8,
    "model.heads": 2,
    "model.feed_forward": 16,
    "model.window": 8,
    "model.memory": 8,
    "model.compressed_memory": 4,
    "model.compression_rate": 4,
    "model.compression": "conv",
    "model.compression_loss": "attention",
    "model.norm": "pre",
    "model.activation": "relu",
    "model.positions": "separate",
    "model.empty_memory": "masked",
    "model.tie_embeddings": "true",
    "model.dropout": 0,
    "model.attention_dropout": 0,
    "data.shuffle": "false",
    "data.reset_memory": "document",
    "batch.rows": 2,
    "train.updates": 5,
    "train.seed": 1,
    "train.lr_start": 1e-6,
    "train.lr_peak": 3e-3,
    "train.lr_end": 1e-4,
    "train.warmup": 2,
    "train.decay": 8,
    "train.clip": 0.1,
    "train.weight_decay": 0,
    "train.update_every": 1,
    "train.update_every_after": 0,
    "train.log_every": 1,
    "train.type": "float32",
    "parallel.data": 1,
    "parallel.pipeline": 1,
    "parallel.tensor": 1,
    "parallel.threads": 1,
    "checkpoint.every": 5,
    "device.name": "cpu",
}

NO_LOSS = {"model.compression_loss": "none"}
AUTOENCODING = {"model.compression_loss": "autoencoding"}
LONG = {"train.update_every": 3}        # 15 windows: every kind of document end, full memories

# name: what differs from BASE
CONFIGS = {
    # memory sizes
    "base": {},
    "transformer_xl": {"model.compressed_memory": 0, **NO_LOSS, **LONG},
    "plain_transformer": {"model.compressed_memory": 0, "model.memory": 0, **NO_LOSS},
    "short_memory": {"model.memory": 4, "model.compressed_memory": 6,
                     "model.compression_rate": 2, **LONG},
    "odd_memory": {"model.memory": 12, "model.compressed_memory": 5, **LONG},
    "no_memory": {"model.memory": 0, "model.compressed_memory": 4, **AUTOENCODING},
    "no_memory_attention": {"model.memory": 0, "model.compressed_memory": 4},
    "few_compressed": {"model.compression_rate": 2, "model.compressed_memory": 3, **LONG},
    "per_layer": {"model.layers": 3, "model.memory": "4, 16, 8", **LONG,
                  "model.compressed_memory": "6, 0, 4", "model.compression_rate": 2},
    # the layer
    "three_heads": {"model.width": 12, "model.heads": 3, "model.feed_forward": 20},
    "post_norm": {"model.norm": "post", "train.clip": 0},
    "gelu_untied": {"model.activation": "gelu", "model.tie_embeddings": "false"},
    "adaptive": {"model.adaptive_cutoffs": "101, 112", "model.adaptive_divisor": 2, **LONG},
    "adaptive_untied": {"model.adaptive_cutoffs": "33, 104, 116", "model.adaptive_divisor": 2,
                        "model.tie_embeddings": "false", "model.norm": "post",
                        "train.weight_decay": 0.1, "train.seed": 2, **LONG},
    "contiguous": {"model.positions": "contiguous", **LONG},
    "temporal": {"model.positions": "temporal", **LONG},
    "temporal_rate_2": {"model.positions": "temporal", "model.compression_rate": 2,
                        "model.compressed_memory": 6, "model.memory": 4},
    "zeros": {"model.empty_memory": "zeros"},
    "zeros_autoencoding": {"model.empty_memory": "zeros", "model.memory": 4, **AUTOENCODING},
    # compression
    "mean": {"model.compression": "mean", **NO_LOSS, **LONG},
    "max": {"model.compression": "max", **NO_LOSS, "model.memory": 12},
    "most_used": {"model.compression": "most_used", **NO_LOSS, **LONG},
    "dilated": {"model.compression": "dilated", "model.dilations": "1, 2, 4"},
    "dilated_autoencoding": {"model.compression": "dilated", "model.dilations": "3, 1",
                             "model.memory": 4, **AUTOENCODING},
    "autoencoding": {**AUTOENCODING, "train.clip": 0, **LONG},
    "task_double": {"model.compression_loss": "task", "model.bptt_windows": 1,
                    "train.update_every": 2},
    "task_triple": {"model.compression_loss": "task", "model.bptt_windows": 2,
                    "model.compressed_memory": 3, "train.update_every": 3},
    "task_dilated_never": {"model.compression_loss": "task", "model.bptt_windows": 2,
                           "model.compression": "dilated", "model.dilations": "2",
                           "data.reset_memory": "never", "train.update_every": 4},
    # training
    "three_rows": {"batch.rows": 3, "train.clip": 0, **LONG},
    "late_accumulation": {"train.update_every": 3, "train.update_every_after": 3},
    "end_of_schedule": {"train.warmup": 1, "train.decay": 4, "train.clip": 0},
    "weight_decay": {"train.weight_decay": 0.1},
    # data
    "never": {"data.reset_memory": "never", "batch.rows": 3, **LONG},
    "lanes_never": {"corpus": "stream", "data.reset_memory": "never", **LONG},
    "lanes_document": {"corpus": "stream", "batch.rows": 3, **LONG, **AUTOENCODING},
    # many options at once
    "all_different": {"model.norm": "post", "model.activation": "gelu",
                      "model.tie_embeddings": "false", "model.positions": "temporal",
                      "model.compression": "dilated", "model.dilations": "1, 2",
                      "model.compression_loss": "autoencoding", "model.memory": "4, 12",
                      "model.compressed_memory": "3, 5", "data.reset_memory": "never",
                      "train.weight_decay": 0.05, "batch.rows": 3, **LONG},
    "larger_evaluation": {**LONG},
    "larger_evaluation_temporal": {"model.positions": "temporal", "data.reset_memory": "never"},
}

# name: settings that evaluation changes; without an entry it uses the trained ones
EVALUATION = {
    "larger_evaluation": {"model.memory": 16, "model.compressed_memory": 12},
    "larger_evaluation_temporal": {"model.memory": "16, 4", "model.compressed_memory": "8, 10"},
}


def values(name):
    """{section.key: value} of a configuration, with the name of its corpus under 'corpus'."""
    return {"corpus": "books", **BASE, **CONFIGS[name]}


def ini_text(name, data_path, overrides=None):
    """The configuration as INI text for `palimpsest train`."""
    merged = {**values(name), "data.path": data_path, **(overrides or {})}
    del merged["corpus"]
    lines, section = [], None
    for key in sorted(merged):
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            lines.append(f"[{section}]")
        lines.append(f"{key.split('.')[1]} = {merged[key]}")
    return "\n".join(lines) + "\n"
