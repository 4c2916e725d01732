/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/commands.h"

const Command commands[] = {
    {"prepare", "DIR|FILE -o data.h5 [options]", "Turns text into a data file.",
     "DIR is PG-19 (train/ID.txt validation/ID.txt test/ID.txt, one document a file, and\n"
     "metadata.csv if there is one) or WikiText (wiki.{train,valid,test}.tokens). FILE is one\n"
     "text, e.g. enwik8, cut into train, validation and test at two byte offsets. Every file may\n"
     "be packed: .gz, .zst.\n"
     "Several ranks share the work; the data file does not depend on how many. What was stopped\n"
     "goes on where it was when it is started again with the same arguments: what is ready lies\n"
     "in FILE.h5.work until then.",
     command_prepare, true, true},
    {"decode", "DATA.h5 [options]", "Gives back the text that a data file was made from.",
     "Byte for byte with the tokenizers bytes and sentencepiece; with words it is the words, one\n"
     "space between, and a line end for every <eos>. The text, and nothing else, goes to stdout.",
     command_decode, false, false},
    {"train", "CONFIG.ini [options]", "Trains a model; started by mpirun or srun, or alone.",
     "Writes RUN/config.ini (complete), RUN/log.txt, RUN/metrics.jsonl and RUN/checkpoints/.\n"
     "Started again with the same run folder it goes on from the newest whole checkpoint, as if\n"
     "it had never been stopped; on other ranks up to rounding.\n"
     "`palimpsest --help-config` lists every key of the configuration.",
     command_train, true, true},
    {"evaluate", "CHECKPOINT --data data.h5 [options]",
     "Loss of every token of a split: nats, bits per byte, word-level perplexity.",
     "CHECKPOINT is a file, or a run folder for its latest one. Window and memory sizes may "
     "differ\n"
     "from training: --set model.compressed_memory=1024, or several of them with --sweep.\n"
     "--report DIR writes tables, plots and report.html: losses by document and by how often the\n"
     "target occurs in training, attention by age, compression loss by layer.\n"
     "--dynamic trains on every window after it was predicted; its numbers have names of their "
     "own.\n"
     "Word-level perplexity takes the data set's published count of words where the data file has\n"
     "one, and says so.",
     command_evaluate, true, true},
    {"generate", "CHECKPOINT [options]", "Continues a prompt of any length.",
     "CHECKPOINT is a file, or a run folder for its latest one. The prompt goes through the "
     "memory\n"
     "window by window, as in training. The text, and nothing else, goes to stdout.",
     command_generate, false, false},
    {"inspect", "FILE [options]", "Shows what is inside a checkpoint or a data file.",
     "FILE is a checkpoint, a run folder for its latest one, or a data file.", command_inspect,
     false, false},
    {"verify", "CHECKPOINT", "Holds every byte of a checkpoint against its checksums.",
     "CHECKPOINT is a file, or a run folder for its latest one. Several ranks share the reading.\n"
     "Exit status 0: whole; 65: damaged, with the tensor's name.",
     command_verify, false, false},
    {"convert", "CHECKPOINT -o FILE.h5|FILE.safetensors [options]",
     "Takes the weights out of a checkpoint, for sharing and for PyTorch.",
     "CHECKPOINT is a file, or a run folder for its latest one. FILE.h5 can be evaluated and\n"
     "generated from; a training cannot go on from it. FILE.safetensors has the names of the\n"
     "checkpoint with dots for slashes, and the configuration in its metadata. A file that is "
     "there\n"
     "already is not replaced.",
     command_convert, false, false},
    {"bench", "CONFIG.ini [options]",
     "Times training updates against the machine's own matrix-product rate.", NULL, command_bench,
     false, false},
    {0},
};
