/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece (Kudo & Richardson 2018) for C: the library has a C++ interface alone. Nothing here
 * throws; what goes wrong is a text in `reason`.
 */
#ifndef PAL_IO_SUBWORD_MODEL_H
#define PAL_IO_SUBWORD_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PAL_REASON_SIZE = 512 };

typedef struct SubwordModel SubwordModel;

typedef enum PieceKind {
    PIECE_TEXT, /* stands for its text, U+2581 in it for a space */
    PIECE_BYTE, /* stands for one byte, written as "<0x0A>" */
    PIECE_NONE  /* stands for nothing: <unk>, <doc> */
} PieceKind;

/* From a serialized ModelProto; NULL: reason. */
SubwordModel *subword_model_load(const void *bytes, size_t size, char reason[PAL_REASON_SIZE]);
void subword_model_free(SubwordModel *model); /* accepts NULL */
int subword_model_size(const SubwordModel *model);
/* The id of a piece's text; -1: there is none. */
int subword_model_find(const SubwordModel *model, const char *piece);
/* Of a text: its length in *length; valid as long as the model is. */
const char *subword_model_piece(const SubwordModel *model, int id, PieceKind *kind, size_t *length);
/* The best pieces of a text, at most `room`; -1: there are more, or the library failed. */
int subword_model_encode(const SubwordModel *model, const char *text, size_t length, int *ids,
                         int room);

typedef struct SubwordTraining {
    const char *algorithm; /* "unigram" or "bpe" */
    int vocabulary;
    const char *document_symbol; /* gets an id and never stands for text */
    /* The next line to learn from, valid until the next call; false: there are no more. */
    bool (*next)(void *context, const char **text, size_t *length);
    void *context;
} SubwordTraining;

/* *model: a serialized ModelProto, to be freed with free(). */
bool subword_model_train(const SubwordTraining *training, void **model, size_t *size,
                         char reason[PAL_REASON_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
