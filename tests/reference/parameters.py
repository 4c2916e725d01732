"""Names and shapes of all weights, as they stand under /weights in a checkpoint."""


def layer_shapes(settings, layer):
    """Weights of one layer, without the prefix layers/NN/."""
    D, H, E = settings.width, settings.heads, settings.head_size
    F, c = settings.feed_forward, settings.compression_rate
    compresses = settings.compressed_memory[layer] > 0

    shapes = {f"attention/{name}": (D, D)
              for name in ("query", "key", "value", "output", "position")}
    shapes["attention/output_bias"] = (D,)
    shapes["attention/content_bias"] = (H, E)
    shapes["attention/position_bias"] = (H, E)
    if compresses and settings.positions == "separate":
        shapes["attention/position_compressed"] = (D, D)
        shapes["attention/position_bias_compressed"] = (H, E)

    for norm in ("attention_norm", "feed_forward_norm"):
        shapes[f"{norm}/scale"] = (D,)
        shapes[f"{norm}/shift"] = (D,)
    shapes["feed_forward/in"] = (D, F)
    shapes["feed_forward/in_bias"] = (F,)
    shapes["feed_forward/out"] = (F, D)
    shapes["feed_forward/out_bias"] = (D,)

    if compresses and settings.compression in ("conv", "dilated"):
        shapes["compression/conv"] = (c * D, D)
    if compresses and settings.compression == "dilated":
        for index in range(len(settings.dilations)):
            shapes[f"compression/dilated_{index}"] = (2 * D, D)
    if compresses and settings.compression_loss == "autoencoding":
        shapes["compression/decoder"] = (D, c * D)
    return shapes


def adaptive_shapes(settings):
    """Tables and projections of the clusters. The classes of the others stand in the first one."""
    D, shapes, clusters = settings.width, {}, settings.clusters()
    for i, (_, tokens, width) in enumerate(clusters):
        rows = tokens + (len(clusters) - 1 if i == 0 else 0)
        tied = settings.tie_embeddings
        shapes[f"embedding/cluster_{i}/table"] = (rows if tied else tokens, width)
        shapes[f"embedding/cluster_{i}/projection"] = (width, D)
        if not tied:
            shapes[f"output/cluster_{i}/table"] = (rows, width)
        if not tied or i == 0:
            shapes[f"output/cluster_{i}/projection"] = (width, D)
        shapes[f"output/cluster_{i}/bias"] = (rows,)
    return shapes


def end_shapes(settings):
    """Weights of embedding and output layer."""
    D, V = settings.width, settings.vocabulary
    if settings.adaptive_cutoffs:
        return adaptive_shapes(settings)
    shapes = {"embedding/table": (V, D), "output/bias": (V,)}
    if not settings.tie_embeddings:
        shapes["output/table"] = (D, V)
    return shapes


def all_shapes(settings):
    """Every weight the configuration needs: {name: shape}."""
    D = settings.width
    shapes = end_shapes(settings)
    if settings.norm == "pre":
        shapes["final_norm/scale"] = (D,)
        shapes["final_norm/shift"] = (D,)
    for layer in range(settings.layers):
        for name, shape in layer_shapes(settings, layer).items():
            shapes[f"layers/{layer:02d}/{name}"] = shape
    return shapes


def is_compression(name):
    """The compression group: trained by the compression loss, clipped by its own norm."""
    return "/compression/" in name


def is_decayed(name, shape):
    """Weight decay acts on matrices: not on biases, norms, or the (H, E) bias vectors."""
    leaf = name.split("/")[-1]
    return len(shape) == 2 and "bias" not in leaf
