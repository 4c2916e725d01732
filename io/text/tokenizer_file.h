/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers that are there already: of another data file or checkpoint, or learned by a preparation
 * that was stopped later.
 */
#ifndef PAL_IO_TOKENIZER_FILE_H
#define PAL_IO_TOKENIZER_FILE_H

#include <stdbool.h>

#include "io/text/subword_training.h"
#include "io/text/work_folder.h"
#include "io/tokenizer_model.h"

/* Local. Of a data file or a checkpoint, by whatever the file is. Errors: no such file (66), neither
 * (65). *model is the caller's. */
Status tokenizer_file_read(const char *path, TokenizerModel *model);

/* What a tokenizer is learned from. */
typedef struct TokenizerRecipe {
    const TextParts *parts; /* of the training split */
    const char *kind;
    int64_t vocabulary;
    const SubwordOptions *subwords;
    bool keep_invalid; /* words need not be UTF-8 */
} TokenizerRecipe;

/* Local. The one in the work folder that was made by this recipe; false: there is none. */
bool tokenizer_kept(const WorkFolder *folder, const TokenizerRecipe *recipe, TokenizerModel *model);
/* Local. A failure is no harm: it would be learned again. */
void tokenizer_keep(const WorkFolder *folder, const TokenizerRecipe *recipe,
                    const TokenizerModel *model);

/* Collective over the group: everyone gets rank 0's model, the others have {0} before. */
Status tokenizer_model_share(TokenizerModel *model, const Group *group);

#endif
