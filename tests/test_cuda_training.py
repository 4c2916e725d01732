#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole trainings with the kernels of the CUDA device against the CPU device: losses of every
update, evaluation, grids, MPI with and without device addresses, checkpoints that move between
devices, restarts bit for bit.

    tests/test_cuda_training.py build/tests/palimpsest_emulated build/tests/palimpsest_unchecked
        [MPIRUN...]

The first program checks every load and store of the kernels and is slow: it trains for CHECKED
updates, the other for UPDATES, or HALF in bfloat16, whose emulated products are slow too. With the program for real GPUs in place of both the same is run
there; PALIMPSEST_TEST_DIRECT=0 then leaves out what needs an MPI that knows CUDA.
"""
import os
import sys

import runs

UPDATES, HALF, CHECKED = 20, 10, 2
LOSS_TOLERANCE = 1e-4
# Adam divides by the gradient's own size, so rounding can show where a gradient is almost zero.
WEIGHT_TOLERANCE = 2e-3

SETTINGS = {"train.updates": str(UPDATES), "train.decay": str(UPDATES),
            "train.evaluate_every": "10", "train.warmup": "5", "batch.rows": "2"}

# Configurations that between them go through every operation; ranks and grid of the CUDA run.
CASES = {
    "base": ({"model.dropout": "0.1", "model.attention_dropout": "0.1"}, 1, {}),
    "dilated_gelu_post": ({"model.compression": "dilated", "model.activation": "gelu",
                           "model.norm": "post", "model.tie_embeddings": "false",
                           "model.compression_loss": "autoencoding"}, 1, {}),
    "most_used": ({"model.compression": "most_used", "model.compression_loss": "none",
                   "model.empty_memory": "zeros", "data.reset_memory": "never"}, 1, {}),
    "max_temporal": ({"model.compression": "max", "model.compression_loss": "none",
                      "model.positions": "temporal"}, 1, {}),
    "task": ({"model.compression_loss": "task", "train.update_every": "2",
              "model.compression": "conv"}, 1, {}),
    "adaptive": ({"model.adaptive_cutoffs": "104,112,119", "model.adaptive_divisor": "2"}, 1, {}),
    # One of the two ranks has no row of the cluster in the middle, which is one token.
    "adaptive_tensor": ({"model.adaptive_cutoffs": "104,119,120", "model.adaptive_divisor": "2",
                         "model.tie_embeddings": "false"}, 2, {"parallel.tensor": "2"}),
    "adaptive_both": ({"model.adaptive_cutoffs": "104,112", "model.adaptive_divisor": "2",
                       "train.update_every": "2"}, 4,
                      {"parallel.pipeline": "2", "parallel.tensor": "2"}),
    "tensor": ({"model.dropout": "0.1"}, 2, {"parallel.tensor": "2"}),
    "pipeline": ({"train.update_every": "2"}, 2, {"parallel.pipeline": "2"}),
    "data": ({"model.compression": "mean", "model.compression_loss": "none"}, 2,
             {"parallel.data": "2"}),
    "all_three": ({"model.attention_dropout": "0.1", "train.update_every": "2"}, 8,
                  {"parallel.data": "2", "parallel.pipeline": "2", "parallel.tensor": "2"}),
}
# Those that are trained in bfloat16 as well, which does not keep four digits of a loss: two devices
# round what they sum in another order differently.
BFLOAT16 = ("base", "dilated_gelu_post", "most_used", "task", "adaptive", "adaptive_both",
            "all_three")
BFLOAT16_TOLERANCE, FLOAT32_TOLERANCE = 3e-3, 2e-2
# Those whose ranks also hand device addresses to MPI.
DIRECT = ("tensor", "pipeline", "data")


def compare(test, name, cpu, cuda):
    for kind, keys in (("train", ("loss", "compression_loss", "gradient_norm", "tokens")),
                       ("evaluate", ("nats", "tokens"))):
        for key in keys:
            test.check_close(f"{name}: {kind} {key}",
                             [line.get(key, 0) for line in cuda.metrics(kind)],
                             [line.get(key, 0) for line in cpu.metrics(kind)], LOSS_TOLERANCE)
    one, two = runs.datasets(cpu.checkpoint()), runs.datasets(cuda.checkpoint())
    test.check(one.keys() == two.keys(), f"{name}: names in checkpoints")
    for key in sorted(one.keys() & two.keys()):
        if key.startswith("weights/") or key.startswith("memory/"):
            test.check_close(f"{name}: {key}", two[key], one[key], WEIGHT_TOLERANCE)


def on_cuda(test, name, changes, ranks, grid, **environment):
    """Trains with the CUDA device, under variables that only this run has."""
    environment = {key: str(value) for key, value in environment.items()}
    os.environ.update(environment)
    try:
        run = test.train(name, {**SETTINGS, **changes, **grid, "device.name": "cuda"}, ranks)
    finally:
        for key in environment:
            del os.environ[key]
    test.check("device: cuda" in run.log(), f"{name}: the log names the device")
    return run


def kernels_pass_the_checks(test):
    """A fault of a kernel ends the program, and this test."""
    for name, (changes, ranks, grid) in CASES.items():
        short = {**changes, "train.updates": str(CHECKED), "train.evaluate_every": "0"}
        cpu = test.train(name + "_checked_cpu", {**SETTINGS, **short, "device.name": "cpu"})
        cuda = on_cuda(test, name + "_checked", short, ranks, grid)
        test.check_close(f"{name}, checked: loss", [line["loss"] for line in cuda.metrics("train")],
                         [line["loss"] for line in cpu.metrics("train")], LOSS_TOLERANCE)
        if name in BFLOAT16:
            on_cuda(test, name + "_checked_bfloat16", {**short, "train.type": "bfloat16"}, ranks,
                    grid)


def devices_agree(test):
    for name, (changes, ranks, grid) in CASES.items():
        cpu = test.train(name + "_cpu", {**SETTINGS, **changes, "device.name": "cpu"})
        cuda = on_cuda(test, name, changes, ranks, grid)
        compare(test, name, cpu, cuda)
        if name in DIRECT and os.environ.get("PALIMPSEST_TEST_DIRECT") != "0":
            direct = on_cuda(test, name + "_direct", {**changes, "device.mpi": "direct"}, ranks, grid,
                             PALIMPSEST_MPI_REACHES_DEVICE=1, CUDA_EMULATION_HOST_ACCESS=1)
            test.check("direct" in direct.log(), f"{name}: the log says that MPI gets addresses")
            test.check_same_bits(f"{name}: staged and direct", cuda, direct)


def devices_agree_in_bfloat16(test):
    for name in BFLOAT16:
        changes, ranks, grid = CASES[name]
        typed = {**changes, "train.type": "bfloat16", "train.updates": str(HALF)}
        cpu = test.train(name + "_bfloat16_cpu", {**SETTINGS, **typed, "device.name": "cpu"})
        cuda = on_cuda(test, name + "_bfloat16", typed, ranks, grid)
        float32 = runs.Run(test, os.path.join(test.folder, name + "_cpu"))
        for kind, key in (("train", "loss"), ("evaluate", "nats")):
            found = [line[key] for line in cuda.metrics(kind)]
            test.check_close(f"{name} in bfloat16: {kind} {key}", found,
                             [line[key] for line in cpu.metrics(kind)], BFLOAT16_TOLERANCE)
            test.check_close(f"{name} in bfloat16 and float32: {kind} {key}", found,
                             [line[key] for line in float32.metrics(kind)
                              if line["update"] <= HALF], FLOAT32_TOLERANCE)


def goes_on(test, run, name, device, updates):
    """A copy of the run's checkpoint goes on with this device."""
    folder = os.path.join(test.folder, name)
    config = os.path.join(test.folder, name + ".ini")
    runs.write_config(config, {**runs.read_config(os.path.join(run.folder, "config.ini")),
                               "train.updates": str(updates), "device.name": device})
    test.program(1, "train", config, "--run", folder, "--resume", run.checkpoint())
    return runs.Run(test, folder)


def checkpoints_move_between_devices(test, number_type, updates, tolerance):
    changes = {"model.dropout": "0.1", "train.evaluate_every": "0", "train.type": number_type,
               "train.updates": str(updates)}
    half = {**SETTINGS, **changes, "train.updates": str(updates // 2)}
    whole = {device: test.train(f"whole_{device}_{number_type}",
                                {**SETTINGS, **changes, "device.name": device})
             for device in ("cpu", "cuda")}
    begun = {device: test.train(f"half_{device}_{number_type}", {**half, "device.name": device})
             for device in ("cpu", "cuda")}
    for first in ("cpu", "cuda"):
        for second in ("cpu", "cuda"):
            run = goes_on(test, begun[first], f"{first}_then_{second}_{number_type}", second,
                          updates)
            if first == second:
                one, two = runs.datasets(whole[first].checkpoint()), runs.datasets(run.checkpoint())
                for key in one:
                    test.check(one[key].tobytes() == two[key].tobytes(),
                               f"restart on {first} in {number_type}: {key} differs")
                continue
            test.check_close(f"{first} then {second} in {number_type}: loss",
                             [line["loss"] for line in run.metrics("train")],
                             [line["loss"] for line in whole["cpu"].metrics("train")
                              if line["update"] > updates // 2], tolerance)


def the_same_run_gives_the_same_bits(test):
    changes, ranks, grid = CASES["tensor"]
    first = on_cuda(test, "first", changes, ranks, grid)
    second = on_cuda(test, "second", changes, ranks, grid, CUDA_EMULATION_ORDER="random:7")
    test.check_same_bits("another order of blocks and threads", first, second)


def main():
    fast = sys.argv.pop(2)
    test = runs.Test()
    kernels_pass_the_checks(test)
    test.binary = fast
    devices_agree(test)
    devices_agree_in_bfloat16(test)
    checkpoints_move_between_devices(test, "float32", UPDATES, LOSS_TOLERANCE)
    checkpoints_move_between_devices(test, "bfloat16", HALF, BFLOAT16_TOLERANCE)
    the_same_run_gives_the_same_bits(test)
    return test.finish()


if len(sys.argv) < 3:
    sys.exit(f"use: {sys.argv[0]} CHECKED_PALIMPSEST PALIMPSEST [MPIRUN...]")
sys.argv[2] = os.path.abspath(sys.argv[2])
runs.start(main)
