"""Tests the reference in itself: identities, PyTorch's own functions, plain lists, exact zeros.

    python3 self_test.py        last line: N passed, N failed; status 77 without PyTorch
"""
import sys
import traceback

try:
    import check_memory
    import check_model
    import check_training
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def main():
    counts = {True: 0, False: 0}
    for module in (check_model, check_memory, check_training):
        for check in module.CHECKS:
            try:
                check()
                passed = True
            except Exception:
                passed = False
                traceback.print_exc()
            counts[passed] += 1
            print(f"{'ok  ' if passed else 'FAIL'} {check.__name__[len('check_'):]}", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(1 if counts[False] else 0)


if __name__ == "__main__":
    main()
