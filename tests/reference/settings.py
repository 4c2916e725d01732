"""The settings the reference needs, read from the INI text that `palimpsest train` reads.

Letters are those of the model's legend: T window, M memory slots, N compressed slots,
c compression rate, D width, H heads, E head size, F feed-forward, L layers, V vocabulary, R rows.
"""
import configparser
from dataclasses import dataclass

BYTE_VOCABULARY = 257
DOCUMENT_TOKEN = 256


@dataclass
class Settings:
    """One configuration; memory and compressed_memory hold one number per layer."""
    layers: int
    width: int
    heads: int
    feed_forward: int
    window: int
    memory: list
    compressed_memory: list
    compression_rate: int
    compression: str
    compression_loss: str
    bptt_windows: int
    dilations: list
    norm: str
    activation: str
    positions: str
    empty_memory: str
    tie_embeddings: bool
    adaptive_cutoffs: list
    adaptive_divisor: int
    reset_memory: str
    rows: int
    updates: int
    lr_start: float
    lr_peak: float
    lr_end: float
    warmup: int
    decay: int
    clip: float
    weight_decay: float
    update_every: int
    update_every_after: int
    vocabulary: int = BYTE_VOCABULARY

    @property
    def head_size(self):
        return self.width // self.heads


    def clusters(self):
        """[(first token, number of tokens, width)] of an adaptive softmax; empty for a plain one."""
        edges = [0, *self.adaptive_cutoffs, self.vocabulary]
        if not self.adaptive_cutoffs:
            return []
        return [(first, end - first, self.width // self.adaptive_divisor ** i)
                for i, (first, end) in enumerate(zip(edges, edges[1:]))]


def numbers(text):
    """'8, 4' -> [8, 4]"""
    return [int(part) for part in text.split(",")]


def per_layer(text, layers):
    """One number stands for every layer; otherwise one number per layer."""
    values = numbers(text)
    return values * layers if len(values) == 1 else values


def check(settings):
    """Asserts what the mathematics takes for granted."""
    assert settings.width % settings.heads == 0 and settings.width % 2 == 0
    assert settings.window % settings.compression_rate == 0
    assert settings.width % settings.adaptive_divisor ** len(settings.adaptive_cutoffs) == 0
    assert len(settings.memory) == len(settings.compressed_memory) == settings.layers
    assert all(slots % settings.compression_rate == 0 for slots in settings.memory)
    if settings.compression_loss == "task":
        assert settings.update_every > settings.bptt_windows


def from_ini(text):
    """Reads INI text into Settings; keys that do not steer the mathematics are ignored."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(text)
    model, train = ini["model"], ini["train"]
    for key in ("dropout", "attention_dropout"):
        if float(model.get(key, "0")) != 0.0:
            raise ValueError(f"the reference has no dropout: model.{key} must be 0")

    layers = int(model["layers"])
    settings = Settings(
        layers=layers,
        width=int(model["width"]),
        heads=int(model["heads"]),
        feed_forward=int(model["feed_forward"]),
        window=int(model["window"]),
        memory=per_layer(model["memory"], layers),
        compressed_memory=per_layer(model["compressed_memory"], layers),
        compression_rate=int(model["compression_rate"]),
        compression=model["compression"],
        compression_loss=model["compression_loss"],
        bptt_windows=int(model.get("bptt_windows", "1")),
        dilations=numbers(model.get("dilations", "1, 2, 4")),
        norm=model["norm"],
        activation=model["activation"],
        positions=model["positions"],
        empty_memory=model["empty_memory"],
        tie_embeddings=model.getboolean("tie_embeddings"),
        adaptive_cutoffs=[a for a in numbers(model.get("adaptive_cutoffs", "0")) if a > 0],
        adaptive_divisor=int(model.get("adaptive_divisor", "4")),
        reset_memory=ini["data"]["reset_memory"],
        rows=int(ini["batch"]["rows"]),
        updates=int(train["updates"]),
        lr_start=float(train["lr_start"]),
        lr_peak=float(train["lr_peak"]),
        lr_end=float(train["lr_end"]),
        warmup=int(train["warmup"]),
        decay=int(train["decay"]),
        clip=float(train["clip"]),
        weight_decay=float(train["weight_decay"]),
        update_every=int(train["update_every"]),
        update_every_after=int(train["update_every_after"]),
    )
    check(settings)
    return settings
