#include "trainer/tasks/tokens/token_data_options.hpp"

#include <algorithm>
#include <cmath>

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void TokenDataOptions::describe(std::vector<Setting>& out) {
  constexpr std::size_t longest_separator = 1024;
  // Where and how the data lie. That their tokens are the same is checked by the digest of the data.
  out.push_back(not_training(
      {"data", "format", one_of(format),
       "What the files hold. text: UTF-8. bytes: anything, as bytes. nanogpt: 16-bit ids. llmc: the same behind the "
       "header of llm.c. auto: ids where names end in .bin, else text."}));
  out.push_back(not_training({"data", "tokenizer", PathValue{&tokenizer},
                              "What makes tokens of text: bytes, or the path of a tokenizer.json of Hugging Face "
                              "(byte-level BPE), a GGUF or a "
                              "SentencePiece model."}));
  out.push_back(
      {"data", "vocabulary", integer(vocabulary, 0, most_token_ids),
       "Number of ids that the network knows. More than the tokenizer's only makes it larger. Files of ids need "
       "it where no tokenizer is named. 0: the tokenizer's."});
  out.push_back({"data", "heldout", NumberValue{&heldout, {0, 0.9, true, false}},
                 "Share of the tokens, those at the end, that is held out where the data have no file for it "
                 "(train.* beside val.*)."});
  out.push_back({"data", "documents", one_of(documents),
                 "joined: the documents are one text, and windows run from one into the next. apart: no window has "
                 "tokens of two documents, and documents shorter than a window are left out."});
  out.push_back({"data", "separator", TextValue{&separator, longest_separator},
                 "What stands between two documents of a text file, such as \"\\n\\n\" or \"<|endoftext|>\"; the "
                 "tokenizer's own end of text takes its place. Empty: each file is a document."});
  out.push_back({"data", "end_of_text", integer(end_of_text, -1, most_token_ids - 1),
                 "The id with which a document ends in files of ids (50256 in GPT-2's). -1: the tokenizer's; without "
                 "one, each file is a document."});
  out.push_back({"data", "deduplicate", one_of(deduplicate),
                 "exact: documents that are there before or in the held-out part, to the last token, are not trained "
                 "on."});
}

void TokenDataOptions::check(std::span<const Setting>, std::vector<Conflict>& out) const {
  if (format == TokenFormat::bytes && !takes_bytes()) {
    out.push_back({{"data.format", "data.tokenizer"},
                   "found data.format bytes with data.tokenizer '" + tokenizer +
                       "'; accepted: data.tokenizer bytes, or data.format text"});
  }
  if (is_tokenized(format) && takes_bytes() && vocabulary == 0) {
    out.push_back({{"data.vocabulary", "data.format"},
                   "found data.format " + std::string(name_of(format)) +
                       " without data.vocabulary; accepted: the number " +
                       "of ids of what made those files (50257 for GPT-2), or data.tokenizer"});
  }
  if (is_tokenized(format) && !separator.empty()) {
    out.push_back({{"data.separator", "data.format"},
                   "found data.separator with data.format " + std::string(name_of(format)) +
                       "; accepted: data.end_of_text, which tells documents apart in files of ids"});
  }
  if (vocabulary > 0 && end_of_text >= vocabulary) {
    out.push_back({{"data.end_of_text", "data.vocabulary"},
                   "found data.end_of_text " + std::to_string(end_of_text) + " with data.vocabulary " +
                       std::to_string(vocabulary) + "; accepted: an id below it"});
  }
}

std::int64_t TokenDataOptions::kept_tokens(std::int64_t all) const {
  const auto kept = static_cast<std::int64_t>(std::floor(static_cast<double>(all) * (1 - heldout)));
  return std::clamp(kept, std::int64_t{1}, all - 1);
}

}  // namespace blocktrain::trainer
