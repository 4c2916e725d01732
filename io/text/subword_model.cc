/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/subword_model.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

struct SubwordModel {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

void give_reason(char *reason, const char *text)
{
    std::snprintf(reason, PAL_REASON_SIZE, "%s", text);
}

/* Texts of the caller as the library wants them. */
class Lines : public sentencepiece::SentenceIterator {
  public:
    explicit Lines(const SubwordTraining *training) : training_(training) { Next(); }
    bool done() const override { return done_; }
    void Next() override
    {
        const char *text;
        size_t length;
        done_ = !training_->next(training_->context, &text, &length);
        if (!done_) value_.assign(text, length);
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    const SubwordTraining *training_;
    std::string value_;
    bool done_ = false;
};

using Options = std::unordered_map<std::string, std::string>;

/* Text goes in as it is, so that decoding gives it back; equal lines give equal models on any
 * machine, since the number of threads, which sums depend on, is fixed. */
Options options_of(const SubwordTraining *training)
{
    return {
        {"model_type", training->algorithm},
        {"vocab_size", std::to_string(training->vocabulary)},
        {"control_symbols", training->document_symbol},
        {"byte_fallback", "true"},
        {"normalization_rule_name", "identity"},
        {"add_dummy_prefix", "false"},
        {"remove_extra_whitespaces", "false"},
        {"unk_id", "0"},
        {"bos_id", "-1"},
        {"eos_id", "-1"},
        {"pad_id", "-1"},
        {"max_sentence_length", "65536"},
        {"num_threads", "16"},
        {"minloglevel", "2"},
    };
}

} // namespace

SubwordModel *subword_model_load(const void *bytes, size_t size, char reason[PAL_REASON_SIZE])
try {
    auto model = std::make_unique<SubwordModel>();
    const auto status = model->processor.LoadFromSerializedProto(
        absl::string_view(static_cast<const char *>(bytes), size));
    if (status.ok()) return model.release();
    give_reason(reason, status.ToString().c_str());
    return nullptr;
} catch (const std::exception &failure) {
    give_reason(reason, failure.what());
    return nullptr;
}

void subword_model_free(SubwordModel *model) { delete model; }

int subword_model_size(const SubwordModel *model) { return model->processor.GetPieceSize(); }

int subword_model_find(const SubwordModel *model, const char *piece)
{
    const int id = model->processor.PieceToId(piece);
    return model->processor.IdToPiece(id) == piece ? id : -1;
}

const char *subword_model_piece(const SubwordModel *model, int id, PieceKind *kind, size_t *length)
{
    const auto &processor = model->processor;
    const std::string &piece = processor.IdToPiece(id);
    *kind = processor.IsByte(id)                                 ? PIECE_BYTE
            : processor.IsControl(id) || processor.IsUnknown(id) ? PIECE_NONE
                                                                 : PIECE_TEXT;
    *length = piece.size();
    return piece.c_str();
}

int subword_model_encode(const SubwordModel *model, const char *text, size_t length, int *ids,
                         int room)
try {
    std::vector<int> found;
    if (!model->processor.Encode(absl::string_view(text, length), &found).ok()) return -1;
    if (found.size() > static_cast<size_t>(room)) return -1;
    std::memcpy(ids, found.data(), found.size() * sizeof *ids);
    return static_cast<int>(found.size());
} catch (const std::exception &) {
    return -1;
}

bool subword_model_train(const SubwordTraining *training, void **model, size_t *size,
                         char reason[PAL_REASON_SIZE])
try {
    Lines lines(training);
    std::string serialized;
    const auto status =
        sentencepiece::SentencePieceTrainer::Train(options_of(training), &lines, &serialized);
    *model = status.ok() ? std::malloc(serialized.size()) : nullptr;
    if (*model == nullptr) {
        give_reason(reason, status.ok() ? "out of memory" : status.ToString().c_str());
        return false;
    }
    std::memcpy(*model, serialized.data(), serialized.size());
    *size = serialized.size();
    return true;
} catch (const std::exception &failure) {
    give_reason(reason, failure.what());
    return false;
}
