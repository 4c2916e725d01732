"""Trains and evaluates one test configuration with the reference (needs torch)."""
import configs
from data import read_split
from evaluate import evaluate
from settings import from_ini
from train import train


def results(name, data, initial, **options):
    """The flat dict that train.py describes, and nats/NAME of the test documents.

    initial: {name: array} of initial weights; options: dtype of all computation
    """
    text = configs.ini_text(name, data)
    result = train(from_ini(text), initial, read_split(data, "train"), **options)
    weights = {key[len("weights/"):]: array for key, array in result.items()
               if key.startswith("weights/")}
    settings = from_ini(configs.ini_text(name, data, configs.EVALUATION.get(name)))
    for document, nats in evaluate(settings, weights, read_split(data, "test"), **options).items():
        result["nats/" + document] = nats
    return result
