"""Compares `palimpsest` with the reference, configuration by configuration.

    python3 compare.py PALIMPSEST_BINARY [--only NAME ...] [--remake] [--verbose]
                       [--set section.key=value ...] [--launcher "mpirun -n 2"]

Every configuration trains five updates and evaluates the test split. Weights, Adam moments,
memories, counts of valid slots, logged losses and per-token nats are compared with (1) the
values in golden.h5 and (2), where torch imports, values computed now by the reference from the
program's own initial weights. --remake writes golden.h5 first; --set and --launcher run the
program on another device or grid, against the same reference.

Prints one line per configuration and, last, `N passed, N failed`; status 77 without numpy or h5py.
"""
import argparse
import os
import shlex
import sys
import tempfile

try:
    import configs
    import corpus
    import golden
    import program
    from difference import TOLERANCE, difference, difference_table
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

try:
    import reference
    import torch
except ImportError:
    reference = None

VERBOSE_LINES = 12


def compare_golden(name, initial, found):
    """-> (verdict or None, text)"""
    stored = golden.read(golden.PATH, name) if os.path.exists(golden.PATH) else None
    if stored is None:
        return None, "golden: none"
    changed = golden.initial_differences(stored[0], initial)
    if changed:
        return False, f"golden: initial weights differ ({changed[0]}); --remake if meant"
    worst = difference(found, stored[1])
    return worst.passed, f"golden {worst.error:.1e} ({worst.text})"


def compare_fresh(name, data, initial, found, verbose):
    """-> (verdict or None, text); float32 is the reference's own rounding error in float32"""
    if reference is None:
        return None, "reference: no torch"
    expected = reference.results(name, data, initial)
    rounding = difference(reference.results(name, data, initial, dtype=torch.float32), expected)
    worst = difference(found, expected)
    text = f"reference {worst.error:.1e} ({worst.text}) float32 {rounding.error:.1e}"
    if verbose:
        for each in difference_table(found, expected)[:VERBOSE_LINES]:
            text += f"\n    {each.error:.1e}  {each.text}"
    return worst.passed, text


def compare(palimpsest, name, data, folder, verbose):
    """Runs one configuration. -> (passed, text)"""
    os.makedirs(folder)
    try:
        initial = program.initial_weights(palimpsest, name, data, folder)
        found = program.results(palimpsest, name, data, folder)
        verdicts = [compare_golden(name, initial, found),
                    compare_fresh(name, data, initial, found, verbose)]
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"
    asked = [verdict for verdict, _ in verdicts if verdict is not None]
    return bool(asked) and all(asked), "; ".join(text for _, text in verdicts)


def compare_all(palimpsest, names, verbose):
    """-> (passed, failed)"""
    counts = {True: 0, False: 0}

    def report(passed, name, text):
        counts[passed] += 1
        print(f"{'ok  ' if passed else 'FAIL'} {name:27s} {text}".rstrip(), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        try:
            data = program.prepare(palimpsest, folder)
        except (RuntimeError, OSError) as error:
            report(False, "prepare", str(error))
            return 0, 1
        for kind, path in data.items():
            errors = corpus.data_errors(path, corpus.CORPORA[kind])
            report(not errors, f"data {kind}", "; ".join(errors))
        for name in names:
            path = data[configs.values(name)["corpus"]]
            passed, text = compare(palimpsest, name, path, os.path.join(folder, "runs", name),
                                   verbose)
            report(passed, name, text)
    return counts[True], counts[False]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--only", nargs="+", choices=list(configs.CONFIGS), metavar="NAME")
    parser.add_argument("--remake", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--launcher", default="", help="what starts the program")
    return parser.parse_args()


def main():
    options = arguments()
    names = options.only or list(configs.CONFIGS)
    if options.remake:
        import make_golden
        make_golden.make(options.binary, names)
    overrides = dict(pair.split("=", 1) for pair in options.set)
    palimpsest = program.Program(options.binary, shlex.split(options.launcher), overrides)
    print(f"tolerance {TOLERANCE:.0e} of each array's largest value")
    passed, failed = compare_all(palimpsest, names, options.verbose)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
